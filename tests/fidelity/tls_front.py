"""Accepts TLS in front of the sandbox, and forwards everything to it unencrypted.

Prints the address it listens on. Needs Python 3, and a certificate with its key; tests/fidelity/run
makes both and starts this script.

Example: python3 tests/fidelity/tls_front.py 127.0.0.1:8924 certificate.pem key.pem
"""

import argparse
import asyncio
import ssl


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


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("target", metavar="HOST:PORT", help="address of the sandbox")
parser.add_argument("certificate", help="file with the certificate, PEM")
parser.add_argument("key", help="file with its key, PEM")
asyncio.run(main(**vars(parser.parse_args())))
