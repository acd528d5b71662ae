"""What stands in for public images where no registry answers: the same names, users, folders and first commands.

Debian trixie has Python 3.13, Redis 8.0 and RabbitMQ 4.0. A Dockerfile that begins with `FROM python:3.13-slim`, and a
chart that says `redis:8`, work with these as with the public ones. Two differences: Python's site-packages are Debian's
(install into a virtual environment), and Redis without a password listens to its own pod only, as Debian's does.
"""

import hashlib
from dataclasses import dataclass

from tools.cluster.archive import Settings

RECIPE_LABEL = "missioncontrol.dev/recipe"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """One image made of Debian packages."""

    name: str
    packages: tuple[str, ...]
    script: str
    """Runs inside, as root, after the packages."""
    settings: Settings

    @property
    def file(self) -> str:
        """Name its archive; another recipe gives another name."""
        return f"{self.stem}-{self.recipe}.tar"

    @property
    def stem(self) -> str:
        return self.name.rpartition("/")[2].replace(":", "-")

    @property
    def recipe(self) -> str:
        """Change when the image would become another one."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    @property
    def labels(self) -> dict[str, str]:
        return {RECIPE_LABEL: self.recipe}


def _as_999(user: str, *folders: str) -> str:
    """The public images' user id: data folders and `runAsUser` in charts depend on it."""
    owned = " ".join(folders)
    return f"groupmod -g 999 {user}; usermod -u 999 -g 999 {user}; mkdir -p {owned}; chown -R {user}:{user} {owned}\n"


def _entrypoint(program: str, user: str, arguments: str) -> str:
    """A container that starts as root gives that up first."""
    return f"""cat > /usr/local/bin/docker-entrypoint.sh <<'END'
#!/bin/sh
set -e
{arguments}
if [ "$1" = {program} ] && [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid {user} --regid {user} --init-groups "$@"
fi
exec "$@"
END
chmod 755 /usr/local/bin/docker-entrypoint.sh
"""


PYTHON = BaseImage(
    name="docker.io/library/python:3.13-slim",
    packages=("python3", "python3-venv", "python3-pip"),
    script="""
for name in python python3 python3.13; do ln -sf /usr/bin/python3.13 /usr/local/bin/$name; done
rm -f /usr/lib/python3.13/EXTERNALLY-MANAGED
""",
    settings=Settings(Cmd=("python3",), Env=(PATH, "LANG=C.UTF-8")),
)

REDIS = BaseImage(
    name="docker.io/library/redis:8",
    packages=("redis-server", "redis-tools"),
    script=_as_999("redis", "/data")
    + _entrypoint("redis-server", "redis", 'case "$1" in -*|*.conf) set -- redis-server "$@";; esac'),
    settings=Settings(
        Entrypoint=("docker-entrypoint.sh",),
        Cmd=("redis-server",),
        Env=(PATH,),
        WorkingDir="/data",
        ExposedPorts={"6379/tcp": {}},
    ),
)

RABBITMQ = BaseImage(
    name="docker.io/library/rabbitmq:4-management",
    packages=("rabbitmq-server",),
    # The cookie that the package made must not be everybody's.
    script="rm -rf /var/lib/rabbitmq/.erlang.cookie /var/lib/rabbitmq/mnesia /etc/rabbitmq/rabbitmq-env.conf\n"
    "mkdir -p /etc/rabbitmq/conf.d\n"
    "printf 'loopback_users.guest = false\\nlog.console = true\\n' > /etc/rabbitmq/conf.d/10-defaults.conf\n"
    "echo '[rabbitmq_management,rabbitmq_prometheus].' > /etc/rabbitmq/enabled_plugins\n"
    + _as_999("rabbitmq", "/var/lib/rabbitmq", "/var/log/rabbitmq", "/etc/rabbitmq")
    + _entrypoint("rabbitmq-server", "rabbitmq", ""),
    settings=Settings(
        Entrypoint=("docker-entrypoint.sh",),
        Cmd=("rabbitmq-server",),
        # Before /usr/sbin, where Debian's wrappers insist on the system's user.
        Env=(PATH.replace("=", "=/usr/lib/rabbitmq/bin:"), "LANG=C.UTF-8", "HOME=/var/lib/rabbitmq", "RABBITMQ_LOGS=-"),
        ExposedPorts={f"{port}/tcp": {} for port in (5672, 15672, 15692)},
    ),
)

BASE_IMAGES = (PYTHON, REDIS, RABBITMQ)
