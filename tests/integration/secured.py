"""A broker and a store that ask who calls: TLS, SASL, client certificates, and no right that was not given."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.server import HOST
from monitor.adapters.kafka.client import stop_client
from tests.certificates import USER, Certificates

# Kafka's own numbers: AclOperation, ResourceType, PatternType, AclPermissionType.
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "DescribeConfigs": 10}
_RESOURCES = {"--topic": 2, "--group": 3}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3

PASSWORD = "correct horse"

_PROPERTIES = """
listeners=PLAINTEXT://{host}:{port},SASL_SSL://{host}:{sasl},SSL://{host}:{ssl},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},SASL_SSL://{host}:{sasl},SSL://{host}:{ssl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=\\
  org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class SecuredKafka(EmbeddedKafka):
    """A broker with a door for the tests themselves (`bootstrap`), one with SASL, and one for certificates."""

    ports = 4

    def __init__(self, folder: Path, made: Certificates) -> None:
        super().__init__(folder)
        self._made = made

    @property
    def sasl(self) -> str:
        """Where one logs in with a name and a password, over TLS."""
        return f"{HOST}:{self._ports[2]}"

    @property
    def mutual(self) -> str:
        """Where one shows a certificate."""
        return f"{HOST}:{self._ports[3]}"

    def _run(self, *ports: int) -> None:
        super()._run(*ports[:2])

    def _write_properties(self, port: int, controller_port: int) -> None:
        super()._write_properties(port, controller_port)
        more = _PROPERTIES.format(
            host=HOST, port=port, sasl=self._ports[2], ssl=self._ports[3], controller=controller_port,
            user=USER, password=PASSWORD, server=self._made.server, ca=self._made.ca,
        )  # fmt: skip
        with (self._folder / "server.properties").open("a") as properties:
            properties.write(more)  # of two lines with one name the last counts

    def _format_once(self) -> None:
        if not (self._folder / "topics" / "meta.properties").exists():
            names = ("SCRAM-SHA-256", "SCRAM-SHA-512")
            self._format(
                *(word for name in names for word in ("-S", f"{name}=[name={USER},password={PASSWORD}]"))
            )

    async def allow(self, words: Sequence[str]) -> None:
        """Give the rights that `kafka-acls.sh` would give for these words: the tool is not among the jars."""
        pairs = list(pairwise(words))
        pattern = _PREFIXED if ("--resource-pattern-type", "prefixed") in pairs else _LITERAL
        (principal,) = (value for name, value in pairs if name == "--allow-principal")
        ((resource, name),) = (pair for pair in pairs if pair[0] in _RESOURCES)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            for operation in (_OPERATIONS[value] for name, value in pairs if name == "--operation"):
                asked = CreateAclsRequest(
                    _RESOURCES[resource], name, pattern, principal, "*", operation, _ALLOW
                )
                answer = await admin._send_request(asked)
                assert all(one[0] == 0 for one in answer.creation_responses), answer
        finally:
            await stop_client(admin)


@asynccontextmanager
async def tls_before(port: int, made: Certificates) -> AsyncIterator[int]:
    """Stand before a server that speaks no TLS, let in who shows a certificate of ours, and yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made.ca)
    context.load_cert_chain(made.server)
    context.verify_mode = ssl.CERT_REQUIRED

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(pass_on(reader, behind_writer), pass_on(behind_reader, writer))

    server = await asyncio.start_server(connected, HOST, 0, ssl=context)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
