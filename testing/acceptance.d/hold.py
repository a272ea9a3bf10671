"""Stands before a test site and keeps requests waiting whose address contains a text, for as long as it is told to.

usage: hold.py PORT FOLDER

Passes on what comes to a port of its own, which it prints, to 127.0.0.1:PORT. A request whose first line contains what
is in FOLDER/hold waits until that file is gone; FOLDER/held is there from then on. The site cannot do it itself: a
worker of PHP's server that waits inside a request holds every other connection that it has accepted, too.
"""

import asyncio
import pathlib
import sys

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])


def is_held(line):
    try:
        text = (folder / "hold").read_bytes()
    except FileNotFoundError:
        return False
    return text in line


async def copy(source, target):
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()


async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n", 1)[0]
        while is_held(line):
            (folder / "held").touch()
            await asyncio.sleep(0.02)
        # Who was killed meanwhile asks for nothing any more, and the site shall not hear of it.
        if reader.at_eof():
            return
        from_site, to_site = await asyncio.open_connection("127.0.0.1", port)
        to_site.write(head)
        # The site closes after one answer; what the client still says must not keep the connection open.
        more = asyncio.create_task(copy(reader, to_site))
        await copy(from_site, writer)
        more.cancel()
        to_site.close()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
