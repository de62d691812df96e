"""A service of grpcio: prints its port, then the state of each call that it was told is over.

With the files CERT and KEY in its environment it speaks TLS alone.
"""

import os
from concurrent import futures

import grpc

LARGEST = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
refused = 0


def echo(request, context):
    blob = dict(context.invocation_metadata()).get("x-blob-bin")
    if blob:
        context.send_initial_metadata((("x-head-bin", blob),))
        context.set_trailing_metadata((("x-tail-bin", blob[::-1]), ("x-tail", "word")))
    return request


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def total(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def chat(requests, context):
    for request in requests:
        yield request.upper()


def hang(request, context):
    done = futures.Future()
    context.add_callback(lambda: done.set_result(None))
    print("left", flush=True)
    yield b"first"
    done.result(30)
    print("over", flush=True)


def left(request, context):
    return b"%f" % (context.time_remaining() if context.time_remaining() is not None else -1)


def fail(request, context):
    context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x09\x12\x02no"),))
    context.abort(grpc.StatusCode[request.decode()], "caf\u00e9: 100% no\nmore")


def flaky(request, context):
    global refused
    refused += 1
    if refused % 3:
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
    return b"done"


class Service(grpc.GenericRpcHandler):
    kinds = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Hang": grpc.unary_stream_rpc_method_handler(hang),
        "Left": grpc.unary_unary_rpc_method_handler(left),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Flaky": grpc.unary_unary_rpc_method_handler(flaky),
    }

    def service(self, call):
        return self.kinds.get(call.method.removeprefix("/test.Service/"))


server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Service()], options=LARGEST)
if "CERT" in os.environ:
    key, cert = (open(os.environ[name], "rb").read() for name in ("KEY", "CERT"))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
print(port, flush=True)
server.start()
server.wait_for_termination()
