"""TLS in front of the sandbox: what comes in encrypted goes on in the clear.

Usage: tls_front.py TARGET_HOST:PORT CERTIFICATE KEY; prints the address it listens on.
"""

import asyncio
import ssl
import sys


async def copy(reader, writer):
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass  # Either side may leave at any moment; the other is then told below.
    finally:
        writer.close()


async def main(target, certificate, key):
    host, port = target.rsplit(":", 1)

    async def connect(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=context)
    print("listening on {}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
