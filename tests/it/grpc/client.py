"""A client of grpcio: calls the service behind ADDRESS in every way, and prints what came of it, a line a call.

With the file CA in its environment it calls over TLS, and trusts that authority alone.
"""

import os
import queue
import sys

import grpc

LARGEST = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
if "CA" in os.environ:
    trust = grpc.ssl_channel_credentials(open(os.environ["CA"], "rb").read())
    channel = grpc.secure_channel(sys.argv[1], trust, options=LARGEST)
else:
    channel = grpc.insecure_channel(sys.argv[1], options=LARGEST)
PATIENCE = 20


def way(kind, name):
    return getattr(channel, kind)("/test.Service/" + name)


def told(error):
    return f"{error.code().name} {error.details()!r}"


def unary():
    print(way("unary_unary", "Echo")(b"hello", timeout=PATIENCE).decode())
    for size in (0, 4 << 20, 20 << 20):
        sent = bytes(size)
        print(size, way("unary_unary", "Echo")(sent, timeout=PATIENCE) == sent)


def metadata():
    blob = bytes(range(256))
    _, call = way("unary_unary", "Echo").with_call(b"x", metadata=(("x-blob-bin", blob),), timeout=PATIENCE)
    head, tail = dict(call.initial_metadata()), dict(call.trailing_metadata())
    print(head["x-head-bin"] == blob, tail["x-tail-bin"] == blob[::-1], tail["x-tail"])


def streams():
    print(b"".join(way("unary_stream", "Count")(b"10", timeout=PATIENCE)).decode())
    print(len(list(way("unary_stream", "Count")(b"20000", timeout=PATIENCE))))
    print(way("stream_unary", "Total")((bytes(1 << 20) for _ in range(5)), timeout=PATIENCE).decode())
    # A word goes in only when the answer to the one before it has come: nothing is held back, either way.
    words = queue.Queue()
    answers = way("stream_stream", "Chat")(iter(words.get, None), timeout=PATIENCE)
    for word in (b"one", b"two", b"three"):
        words.put(word)
        print(next(answers).decode())
    words.put(None)
    print(list(answers), answers.code().name)


def errors():
    for name in ("NOT_FOUND", "PERMISSION_DENIED", "INTERNAL"):
        try:
            way("unary_unary", "Fail")(name.encode(), timeout=PATIENCE)
        except grpc.RpcError as error:
            print(told(error), dict(error.trailing_metadata())["grpc-status-details-bin"])
    try:
        way("unary_unary", "Missing")(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        print(error.code().name)


def cancel():
    call = way("unary_stream", "Hang")(b"", timeout=PATIENCE)
    print(next(call).decode())
    call.cancel()
    print(call.code().name)


def deadline():
    print(float(way("unary_unary", "Left")(b"", timeout=15)) > 10)
    try:
        list(way("unary_stream", "Hang")(b"", timeout=3))
    except grpc.RpcError as error:
        print(error.code().name)


def routes_total():
    try:
        list(way("unary_stream", "Hang")(b"", timeout=PATIENCE))
    except grpc.RpcError as error:
        print(told(error))


def flaky():
    print(way("unary_unary", "Flaky")(b"", timeout=PATIENCE).decode())


def once():
    try:
        print(way("unary_unary", "Echo")(b"x", timeout=PATIENCE).decode())
    except grpc.RpcError as error:
        print(told(error))


for name in sys.argv[2:]:
    globals()[name]()
