"""Reads the environment once into one frozen value, collecting every bad variable instead of raising."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

METRICS_KINDS = ("portal", "capture", "publisher", "parser", "gateway", "delivery", "storage", "simulator", "replay")
BASE_PORT_MAX = 65_535 - 400


@dataclass(frozen=True, slots=True)
class Problem:
    """One variable that cannot be used: its name, the value found (secrets masked), and what was expected."""

    variable: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.variable}={self.found!r}: expected {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MddsSettings:
    """Everything the service is told from outside; handed down, never read again below the edge."""

    data_dir: Path
    base_port: int = 8000
    host: str = "127.0.0.1"
    bus_url: str = "memory://"
    redis_url: str = ""
    database_url: str = "sqlite"
    celery_broker: str = "memory://"
    partitions: int = 4
    colocated: bool = False
    debug: bool = False
    tls: bool = False
    secret_key: str = ""
    secret_key_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    token_keys: tuple[str, ...] = ()
    flush_ms: int = 10
    outbox_bytes_max: int = 1_048_576
    heartbeat_s: int = 15
    sessions_max: int = 20_000
    sessions_per_address_max: int = 1_000
    time_zone: str = "Asia/Ho_Chi_Minh"
    log_level: str = "INFO"
    host_name: str = ""
    capture_cpus: tuple[int, ...] = ()
    gateway_cpus: tuple[int, ...] = ()
    capture_priority: int = 0
    priority: int = 0
    linger_ms: int = 2

    @property
    def prefix(self) -> str:
        """The name that sets this system's broker, layer and cache names apart from another's on the same machine."""
        return f"mdds{self.base_port}"

    def worker_name(self, kind: str, index: int = 0) -> str:
        """The index-th worker of this kind on this host, apart from those of a host that runs beside it."""
        return f"{kind}-{index}@{self.host_name}" if self.host_name else f"{kind}-{index}"

    @property
    def embedded(self) -> bool:
        """True when the bus lives in this process, so that all workers must live in it too."""
        return self.bus_url.startswith("memory://")

    @property
    def gateway_port(self) -> int:
        """The port of a gateway process; the embedded process serves the stream on the base port itself."""
        return self.base_port if self.embedded else self.base_port + 1

    def metrics_port(self, kind: str, index: int = 0) -> int:
        """The Prometheus port of the index-th worker process of this kind: base+20.., 8 to a kind."""
        if not 0 <= index < 8:
            raise ValueError(f"metrics index {index}: expected 0 to 7")
        return self.base_port + 20 + METRICS_KINDS.index(kind) * 8 + index

    def line_port(self, line_index: int) -> int:
        """The UDP port of the demo's line_index-th line."""
        return self.base_port + 100 + line_index

    def line_group(self, line_index: int) -> str:
        """The multicast group of the demo's line_index-th line: the base port in the last two octets."""
        return f"239.{255 - line_index}.{self.base_port >> 8}.{self.base_port & 255}"


class Reader:
    """Reads typed variables from a mapping; a bad one is noted and its default used, so that all are seen at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []

    def bad(self, variable: str, expected: str, *, found: str | None = None) -> None:
        shown = self.environ.get(variable, "") if found is None else found
        self.problems.append(Problem(variable, shown, expected))

    def text(self, variable: str, default: str) -> str:
        return self.environ.get(variable, "").strip() or default

    def whole(self, variable: str, default: int, *, low: int, high: int) -> int:
        text = self.text(variable, str(default))
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            self.bad(variable, f"a whole number from {low} to {high}")
            return default
        return int(text)

    def flag(self, variable: str, default: bool) -> bool:
        text = self.text(variable, "1" if default else "0").lower()
        if text not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
            self.bad(variable, "1 or 0 (or true/false, yes/no, on/off)")
            return default
        return text in {"1", "true", "yes", "on"}

    def words(self, variable: str, default: tuple[str, ...]) -> tuple[str, ...]:
        text = self.text(variable, "")
        return tuple(word.strip() for word in text.split(",") if word.strip()) if text else default

    def url(self, variable: str, default: str, *, schemes: tuple[str, ...]) -> str:
        text = self.text(variable, default)
        expected = "a URL " + " or ".join(f"{scheme}://..." for scheme in schemes)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            self.bad(variable, f"{expected} ({error})", found=masked(text))
            return default
        if text == default:
            return text
        if parts.scheme not in schemes:
            self.bad(variable, expected, found=masked(text))
            return default
        if parts.scheme not in {"memory", "unix"} and (not host or port == 0):
            self.bad(variable, f"{expected} with a host name", found=masked(text))
            return default
        return text


def masked(url: str) -> str:
    """The URL without its password, fit to be printed."""
    return re.sub(r"(://[^:/@\s]*):.*@", r"\1:***@", url)


def read_environment(environ: Mapping[str, str], *, root: Path) -> tuple[MddsSettings, tuple[Problem, ...]]:
    """The settings, and every problem found. A bad variable has its default in the settings."""
    read = Reader(environ)
    data = Path(read.text("MDDS_DATA", str(root / "var"))).expanduser()
    host = read.text("MDDS_HOST", "127.0.0.1")
    bus_url = read.url("MDDS_BUS", "memory://", schemes=("memory", "amqp", "amqps"))
    celery_default = "memory://" if bus_url.startswith("memory://") else bus_url
    tls = read.flag("MDDS_TLS", False)
    key_file = read.text("MDDS_SECRET_KEY_FILE", "")
    settings = MddsSettings(
        data_dir=data if data.is_absolute() else Path.cwd() / data,
        base_port=read.whole("MDDS_PORT", 8000, low=1024, high=BASE_PORT_MAX),
        host=host,
        bus_url=bus_url,
        redis_url=read.url("MDDS_REDIS", "", schemes=("redis", "rediss", "unix")),
        database_url=_database_url(read),
        celery_broker=read.url("MDDS_CELERY", celery_default, schemes=("memory", "amqp", "amqps")),
        partitions=read.whole("MDDS_PARTITIONS", 4, low=1, high=64),
        colocated=read.flag("MDDS_COLOCATED", False),
        debug=read.flag("MDDS_DEBUG", False),
        tls=tls,
        secret_key=_secret_key(read),
        secret_key_file=Path(key_file).expanduser() if key_file else None,
        allowed_hosts=_allowed_hosts(read, host),
        origins=_origins(read),
        proxies=_proxies(read),
        token_keys=_token_keys(read),
        flush_ms=read.whole("MDDS_FLUSH_MS", 10, low=0, high=1000),
        outbox_bytes_max=read.whole("MDDS_OUTBOX_BYTES", 1_048_576, low=65_536, high=1 << 30),
        heartbeat_s=read.whole("MDDS_HEARTBEAT_S", 15, low=1, high=60),
        sessions_max=read.whole("MDDS_SESSIONS_MAX", 20_000, low=1, high=1_000_000),
        sessions_per_address_max=read.whole("MDDS_SESSIONS_PER_ADDRESS_MAX", 1_000, low=1, high=1_000_000),
        time_zone=_time_zone(read),
        log_level=_log_level(read),
        host_name=_host_name(read),
        capture_cpus=_cpus(read, "MDDS_CAPTURE_CPUS"),
        gateway_cpus=_cpus(read, "MDDS_GATEWAY_CPUS"),
        capture_priority=read.whole("MDDS_CAPTURE_PRIORITY", 0, low=0, high=99),
        priority=read.whole("MDDS_PRIORITY", 0, low=0, high=99),
        linger_ms=read.whole("MDDS_LINGER_MS", 2, low=0, high=50),
    )
    return settings, tuple(read.problems)


def _database_url(read: Reader) -> str:
    text = read.text("MDDS_DATABASE", "sqlite")
    if text == "sqlite":
        return text
    url = read.url("MDDS_DATABASE", "sqlite", schemes=("postgresql", "postgres"))
    if url != "sqlite" and not urlsplit(url).path.strip("/"):
        read.bad("MDDS_DATABASE", "sqlite, or postgresql://user:password@host:port/name with a name", found=masked(url))
        return "sqlite"
    return url


def _secret_key(read: Reader) -> str:
    key = read.environ.get("MDDS_SECRET_KEY", "")
    if key and len(key) < 50:
        read.bad("MDDS_SECRET_KEY", "at least 50 characters", found=f"({len(key)} characters)")
        return ""
    return key


def _allowed_hosts(read: Reader, host: str) -> tuple[str, ...]:
    default = ("localhost", "127.0.0.1", "[::1]")
    hosts = read.words("MDDS_ALLOWED_HOSTS", default)
    for name in hosts:
        if "/" in name or name == "*":
            read.bad("MDDS_ALLOWED_HOSTS", f"host names without scheme or path, and no bare *; not {name!r}")
            return default
    return hosts if host in hosts or host in {"0.0.0.0", "::"} else (*hosts, host)


def _proxies(read: Reader) -> tuple[str, ...]:
    networks = read.words("MDDS_PROXIES", ())
    for text in networks:
        try:
            ip_network(text)
        except ValueError as error:
            read.bad("MDDS_PROXIES", f"addresses or networks of the proxies before us ({error})")
            return ()
    return networks


def _token_keys(read: Reader) -> tuple[str, ...]:
    """Entries `kid:secret`, the newest first; none: a key derived from the secret key signs."""
    entries = read.words("MDDS_TOKEN_KEYS", ())
    kids = [entry.partition(":")[0] for entry in entries]
    if any(len(entry.partition(":")[2]) < 32 for entry in entries) or not all(kids) or len(set(kids)) < len(kids):
        expected = "kid:secret entries, each kid once, each secret of at least 32 characters"
        read.bad("MDDS_TOKEN_KEYS", expected, found=f"({len(entries)} entries)")
        return ()
    return entries


def _origins(read: Reader) -> tuple[str, ...]:
    origins = read.words("MDDS_ORIGINS", ())
    for origin in origins:
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            read.bad("MDDS_ORIGINS", f"origins like https://portal.example.org, not {origin!r}")
            return ()
    return origins


def _time_zone(read: Reader) -> str:
    name = read.text("MDDS_TIME_ZONE", "Asia/Ho_Chi_Minh")
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        read.bad("MDDS_TIME_ZONE", "a time zone name such as Asia/Ho_Chi_Minh", found=name)
        return "Asia/Ho_Chi_Minh"
    return name


def _log_level(read: Reader) -> str:
    level = read.text("MDDS_LOG", "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        read.bad("MDDS_LOG", "DEBUG, INFO, WARNING or ERROR")
        return "INFO"
    return level


def _host_name(read: Reader) -> str:
    name = read.text("MDDS_HOST_NAME", "")
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,30}", name):
        read.bad("MDDS_HOST_NAME", "a host name of at most 31 letters, digits, points and dashes")
        return ""
    return name


def _cpus(read: Reader, name: str) -> tuple[int, ...]:
    words = read.words(name, ())
    if not all(re.fullmatch(r"[0-9]{1,4}", word) for word in words):
        read.bad(name, "processor numbers such as 2 or 2,3")
        return ()
    return tuple(int(word) for word in words)
