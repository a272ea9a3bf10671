"""aiosmtpd with a login, once behind STARTTLS and once behind TLS.

    smtp.py PORT TLS_PORT FOLDER PASSWORD

The folder has `certificate.pem` and `key.pem`; mails go to `mails` in it, and `ready` appears when both ports are open.
"""

import pathlib
import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult

port, tls_port, folder, password = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4].encode()
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")


def authenticate(server, session, envelope, mechanism, login):
    good = login.login == b"me" and login.password == password
    # The server itself answers.
    return AuthResult(success=good, handled=False)


def listen(number, **options):
    handler = Mailbox(str(folder / "mails"))
    Controller(
        handler, hostname="127.0.0.1", port=number, authenticator=authenticate, auth_required=True, **options
    ).start()


listen(port, tls_context=context, require_starttls=True)
# aiosmtpd does not know that the whole connection is encrypted.
listen(tls_port, ssl_context=context, auth_require_tls=False)
(folder / "ready").touch()
signal.pause()
