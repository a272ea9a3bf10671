"""The uploads and deletions of Cloud Storage's XML API, in front of fake-gcs-server, which has them in its JSON API alone.

    gcs_xml.py PORT INNER_PORT PROGRAM [ARGUMENT...]

Starts the program, which serves INNER_PORT. A PUT becomes an upload with `ifGenerationMatch`, a DELETE one of the JSON
API; everything else passes as it is.

https://cloud.google.com/storage/docs/xml-api/put-object-upload
https://cloud.google.com/storage/docs/xml-api/reference-headers#xgoogifgenerationmatch
https://cloud.google.com/storage/docs/json_api/v1/objects/insert
"""

import http.client
import json
import secrets
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

BOUNDARY = secrets.token_hex(16)
port, inner_port, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def ask(self, method, path, headers, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", inner_port, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.status, response.getheaders(), response.read()
        connection.close()
        return answer

    def answer(self, status, headers, body=b""):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def place(self):
        bucket, _, name = urlsplit(self.path).path.lstrip("/").partition("/")
        return bucket, unquote(name)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        bucket, name = self.place()
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart"
        generation = self.headers.get("x-goog-if-generation-match")
        if generation is not None:
            path += f"&ifGenerationMatch={generation}"
        # fake-gcs-server heeds the condition in this kind of upload alone.
        head = f"--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{json.dumps({'name': name})}\r\n"
        head += f"--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n"
        parts = head.encode() + body + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/related; boundary={BOUNDARY}"}
        status, headers, text = self.ask("POST", path, kind, parts)
        if status != 200:
            return self.answer(status, headers, text)
        stored = json.loads(text)
        self.answer(200, [("ETag", stored["etag"]), ("x-goog-generation", stored["generation"])])

    def do_DELETE(self):
        bucket, name = self.place()
        status, headers, text = self.ask("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", {})
        self.answer(204 if status == 200 else status, [] if status == 200 else headers, b"" if status == 200 else text)

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        self.answer(*self.ask(self.command, self.path, headers, body))

    do_GET = do_HEAD = do_POST = forward

    def log_message(self, *_):
        pass


server = subprocess.Popen([*program, "-port", str(inner_port)])
try:
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
finally:
    server.terminate()
