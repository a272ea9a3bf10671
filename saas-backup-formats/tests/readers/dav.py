"""Puts a calendar or an address book into radicale, as a client that imports a file does, and counts what is in it."""

import base64
import io
import tempfile
from wsgiref.util import setup_testing_defaults

from radicale import Application, config


class Server:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        configuration = config.load()
        configuration.update(
            {
                "auth": {"type": "none"},
                "rights": {"type": "authenticated"},
                "storage": {"filesystem_folder": self.folder.name},
            },
            "test",
        )
        self.application = Application(configuration)

    def request(self, method, path, body=b"", **headers):
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": "Basic " + base64.b64encode(b"user:").decode(),
        } | headers
        setup_testing_defaults(environ)
        status = []
        answer = b"".join(self.application(environ, lambda line, _: status.append(line)))
        return int(status[0].split()[0]), answer

    def count(self, path, body, media_type):
        """Replaces a whole collection, and says how many items it has then."""
        self.request("MKCOL", "/user/")
        status, answer = self.request("PUT", path, body, CONTENT_TYPE=media_type)
        assert status in (201, 204), (path, status, answer)
        status, answer = self.request("PROPFIND", path, HTTP_DEPTH="1")
        assert status == 207, status
        return answer.count(b"<response>") - 1
