// What each outcome that is not "served" means, and where to look: the page says it beside the word.
"use strict";

const MEANING = {
  client_closed: "The client went away before the end. Many at once mostly mean that answers take longer than its patience: look at the latency.",
  http_request_error: "The client's request could not be taken: malformed, too large or too slow. Its detail says which.",
  http_request_denied: "The request is not allowed here: by address, by name and password, or by a protocol that the route does not take.",
  rate_limited: "A rate limit of the route refused it. One client may be using up what all share: ask why.",
  overloaded: "A concurrency or circuit limit refused it: more was under way than is allowed. Mostly the service has become slow.",
  destination_not_found: "No route takes the request. sightglass explain says why each route lost.",
  destination_unavailable: "No endpoint of the upstream can take it: all are taken out or fail.",
  dns_error: "The upstream's name could not be resolved.",
  connection_refused: "The upstream refused the connection: nothing listens there. The service is down or starts.",
  connection_terminated: "The connection to the upstream was lost before its answer was whole: the service crashed, was stopped, or closed it.",
  connection_timeout: "The connection to the upstream took too long: the host is gone, overloaded, or a firewall drops it in silence.",
  connection_limit_reached: "No further connection to the upstream is allowed: all are busy, so the service is slow or the limit low.",
  connection_read_timeout: "The upstream paused too long in the middle of its response.",
  connection_write_timeout: "The client paused too long in taking the response.",
  destination_ip_unroutable: "The upstream's address cannot be reached: a route of the network is missing.",
  tls_certificate_error: "The upstream's certificate cannot be believed: expired, of another name, or of an unknown authority.",
  tls_protocol_error: "The TLS handshake with the upstream failed, or it does not speak TLS there.",
  tls_alert_received: "The upstream ended the TLS handshake and said why: mostly it wants a certificate of ours or another version.",
  http_protocol_error: "The upstream's response is not HTTP as configured: wrong port, or the wrong protocol.",
  http_response_incomplete: "The upstream's response ended early: it promised more bytes than it sent.",
  http_response_timeout: "The upstream's response did not come in time: the route's timeout ended it. Look at where the time went.",
  http_response_header_section_size: "The upstream's response head is too large.",
  proxy_loop_detected: "The request has come through this proxy before: an upstream leads back to it.",
  proxy_internal_error: "The proxy itself is at fault. Please report it, with the trace.",
};
