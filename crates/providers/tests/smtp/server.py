"""aiosmtpd on a free port of 127.0.0.1: prints the port, then each mail as Python's parser reads it, one
line of JSON each. Ends when its standard input does."""

import asyncio
import json
import ssl
import sys
from email import message_from_string, policy

from aiosmtpd.smtp import SMTP, AuthResult


class Printer:
    async def handle_DATA(self, server, session, envelope):
        # As text: from bytes, letters beyond ASCII in an address would come out as surrogates.
        text = envelope.original_content.decode("utf-8")
        mail = message_from_string(text, policy=policy.SMTPUTF8)
        to = mail["To"].addresses[0]
        parts = list(mail.iter_parts())
        read = {
            "peer_name": session.host_name,
            "tls": session.ssl is not None,
            "login": getattr(session, "auth_data", None),
            "options": envelope.mail_options,
            "envelope_from": envelope.mail_from,
            "envelope_to": envelope.rcpt_tos,
            "subject": str(mail["Subject"]),
            "to_name": to.display_name,
            "to_address": to.addr_spec,
            "message_id": mail["Message-ID"],
            "auto_submitted": mail["Auto-Submitted"],
            "language": mail["Content-Language"],
            "type": mail.get_content_type(),
            "charsets": [part.get_content_charset() for part in parts],
            "text": mail.get_body(("plain",)).get_content().replace("\r\n", "\n"),
            "html": mail.get_body(("html",)).get_content().replace("\r\n", "\n"),
            "defects": [repr(defect) for part in mail.walk() for defect in part.defects],
        }
        print(json.dumps(read), flush=True)
        return "250 2.0.0 printed"


def login(server, session, envelope, mechanism, data):
    good = data.login == b"us@er" and data.password == b"p:ss"
    return AuthResult(success=good, handled=False, auth_data=data.login.decode() if good else None)


mode, cert, key = sys.argv[1:4]
options = {"enable_SMTPUTF8": True}
if mode == "starttls":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    options |= {
        "tls_context": context,
        "require_starttls": True,
        "authenticator": login,
        "auth_required": True,
    }


async def serve():
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(Printer(), **options), host="127.0.0.1", port=0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
