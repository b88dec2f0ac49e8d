"""A real LDAP server on loopback: Debian's slapd with TLS."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devserver import launch
from tests.certificates import write_certificates
from tests.servers import free_ports

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
SUFFIX = "dc=example,dc=org"
BIND_DN, BIND_PASSWORD = f"cn=portal,{SUFFIX}", "of the portal"
CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
security simple_bind=128
database mdb
suffix "{suffix}"
rootdn "{bind_dn}"
rootpw "{bind_password}"
directory {folder}/data
"""
ENTRIES = """
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=li.wei,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: li.wei
cn: Li Wei
givenName: Wei
sn: Li
mail: li.wei@example.org
userPassword: secret

dn: uid=zoe,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: zoe
cn: Zoe
sn: Zoe
userPassword: other

dn: uid=twin,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: twin
cn: Twin
sn: Twin
userPassword: secret

dn: cn=twin,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: twin
cn: twin
sn: Twin
userPassword: secret

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=operators,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: operators
member: uid=li.wei,ou=people,dc=example,dc=org
member: uid=zoe,ou=people,dc=example,dc=org
"""


@dataclass
class Directory:
    """A running server."""

    url: str
    plain_url: str
    ca_file: str
    other_ca_file: str
    process: subprocess.Popen[bytes]


@contextmanager
def run_slapd(folder: Path):
    """Run a server with a few people and a group while the block runs."""
    (folder / "data").mkdir()
    write_certificates(folder)
    config = folder / "slapd.conf"
    config.write_text(
        CONFIG.format(folder=folder, suffix=SUFFIX, bind_dn=BIND_DN, bind_password=BIND_PASSWORD)
    )
    entries = folder / "entries.ldif"
    entries.write_text(ENTRIES.lstrip())
    subprocess.run([SLAPD, "-T", "add", "-f", config, "-l", entries], check=True, capture_output=True)
    plain, tls = free_ports(2)
    urls = f"ldap://127.0.0.1:{plain}/ ldaps://127.0.0.1:{tls}/"
    # With -d, it stays in the foreground.
    process = launch.start(
        [SLAPD, "-f", config, "-h", urls, "-d", "0"],
        log=folder / "slapd.log",
        folder=folder,
        environment={"PATH": "/usr/bin:/bin"},
    )
    try:
        _wait(process, tls)
        yield Directory(
            f"ldaps://127.0.0.1:{tls}",
            f"ldap://127.0.0.1:{plain}",
            str(folder / "ca.pem"),
            str(folder / "other.pem"),
            process,
        )
    finally:
        launch.end(process, stop_signal=signal.SIGTERM, seconds=10)


def _wait(process, port):
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
