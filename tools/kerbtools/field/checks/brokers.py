"""Brokers of inlets and outlets: is there a way, does it answer, are its certificates good, does it let us in?"""

from collections.abc import Iterator
from typing import Any

from kerbtools.field.findings import FAIL, OK, SKIPPED, UNKNOWN, WARN, Finding
from kerbtools.field.probe import LATE_S, PROBE_S, Far, brokers_of, certificate_days
from kerbtools.field.screen import clean, span
from kerbtools.field.subject import Subject

SOON_DAYS = 21  # a certificate that ends so soon is renewed now
_EXPIRED, _NOT_YET, _SELF_SIGNED, _NO_ISSUER, _SELF_IN_CHAIN, _WRONG_NAME = 10, 9, 18, 20, 19, 62  # X509_V_ERR_...
_FOLLOWS = ("queues", "outlets", "problems", "inlets", "nodes", "topics")


def reachable(subject: Subject) -> Iterator[Finding]:
    """Name, way, answer, user and password."""
    found = brokers_of(subject)
    if not found:
        yield Finding("broker", SKIPPED, "no inlet and no outlet uses one")
        return
    for far in found:
        yield _reached(far)


def _reached(far: Far) -> Finding:
    where, name = str(far.address), far.subject
    if far.connected or far.stage in ("well", "topic"):
        return Finding("broker", OK, f"{where} answers", subject=name)
    host = far.address.host
    follows = (*_FOLLOWS, f"tls/{name}")
    if far.stage == "files":
        steps = (far.why.partition("; ")[2] or "see gateway/README.md",)
        return Finding(
            "broker",
            FAIL,
            far.why.partition("; ")[0],
            ("a file that is named in the configuration",),
            steps,
            subject=name,
            explains=follows,
        )
    if far.stage == "resolve":
        return Finding(
            "broker",
            FAIL,
            f"the name {host} is not found ({far.why})",
            (
                "no uplink: the modem or the network is down",
                "a wrong name in the configuration",
                "a name server that is away",
            ),
            ("ip route; ping -c 3 1.1.1.1", f"getent hosts {host}"),
            subject=name,
            explains=follows,
        )
    if far.stage == "connect":
        return Finding(
            "broker",
            FAIL,
            f"{where} is not reached: {far.why}",
            ("the broker does not run, or listens on another port", "no uplink, or a firewall in between"),
            (f"ping -c 3 {host}; ip route", "ask who runs the broker: systemctl status mosquitto"),
            subject=name,
            explains=follows,
        )
    if far.stage == "tls":
        return Finding(
            "broker",
            FAIL,
            f"{where} is reached, and TLS fails: see tls",
            ("its certificate",),
            ("kerb doctor --only tls",),
            subject=name,
            explains=_FOLLOWS,
        )
    if far.stage == "user":
        return Finding(
            "broker",
            FAIL,
            f"{where} refuses this gateway: {far.why}",
            ("user or password is wrong, or was changed at the broker", "the broker wants a client certificate"),
            (
                f"put user:password into {far.credentials}, then: kerb gateway reload"
                if far.credentials
                else f"give {name} credentials in the configuration, then: kerb gateway reload",
                "ask who runs the broker for this user",
            ),
            subject=name,
            explains=follows,
        )
    return Finding(
        "broker",
        FAIL,
        f"{where} takes the connection and does not answer within {PROBE_S:.0f} s: it is frozen",
        ("the broker's process hangs, or its disk", "something else listens on that port"),
        (
            "ask who runs the broker: systemctl restart mosquitto",
            f"on its host: ss -tlnp 'sport = :{far.address.port}'",
        ),
        subject=name,
        explains=follows,
    )


def tls(subject: Subject) -> Iterator[Finding]:
    """Chain, name and dates, of brokers and of this gateway's own certificates."""
    secure = [far for far in brokers_of(subject) if far.address.tls]
    if not secure:
        yield Finding("tls", SKIPPED, "no broker is reached by TLS")
        return
    for far in secure:
        yield from _own(far)
        yield _chain(far)


def _chain(far: Far) -> Finding:
    where, code, name = str(far.address), far.verify_code, far.subject
    follows = (f"broker/{name}", *_FOLLOWS)
    if far.stage in ("resolve", "connect", "files"):
        return Finding(
            "tls",
            UNKNOWN if far.stage != "files" else SKIPPED,
            f"{where} is not reached",
            subject=name,
            next=("kerb doctor --only broker",),
        )
    renew = "ask who runs the broker to renew its certificate"
    if code in (_EXPIRED, _NOT_YET):
        ago = "" if far.days is None else f" {span(abs(far.days) * 86_400)} ago" if far.days < 0 else ""
        said = (
            f"the certificate of {where} has expired{ago}" if code == _EXPIRED else f"that of {where} is not valid yet"
        )
        clock = "this gateway's clock is wrong: see clock"
        causes = ("nobody renewed it", clock) if code == _EXPIRED else (clock, "it is to count from a later day")
        return Finding("tls", FAIL, said, causes, (renew, "timedatectl status"), subject=name, explains=follows)
    if code == _WRONG_NAME:
        return Finding(
            "tls",
            FAIL,
            f"the certificate of {where} is for another name",
            ("the URL names it otherwise", "somebody stands in between"),
            ("write the name of the certificate into the outlet's url",),
            subject=name,
            explains=follows,
        )
    if code in (_SELF_SIGNED, _NO_ISSUER, _SELF_IN_CHAIN) or code:
        return Finding(
            "tls",
            FAIL,
            f"nobody known here has signed the certificate of {where} ({far.why})",
            (
                "authority = does not name who signed it",
                "the broker does not send its chain",
                "somebody stands in between",
            ),
            (f"openssl s_client -connect {where} -showcerts </dev/null", "give authority = the PEM of who signed it"),
            subject=name,
            explains=follows,
        )
    if far.stage == "tls":
        return Finding(
            "tls",
            FAIL,
            f"TLS with {where} fails: {far.why}",
            ("the broker wants a client certificate", "it speaks no TLS on this port, or only an old one"),
            (f"openssl s_client -connect {where} </dev/null",),
            subject=name,
            explains=follows,
        )
    if far.days is not None and far.days < SOON_DAYS:
        return Finding(
            "tls",
            WARN,
            f"the certificate of {where} ends in {span(far.days * 86_400)}",
            ("it is time",),
            (renew,),
            subject=name,
        )
    left = "" if far.days is None else f", for another {span(far.days * 86_400)}"
    return Finding("tls", OK, f"that of {where} is good{left}", subject=name)


def _own(far: Far) -> Iterator[Finding]:
    """This gateway's own certificate for a broker."""
    path = far.certificates.certificate
    if path is None:
        return
    days = certificate_days(path.read_bytes()) if path.exists() else None
    if days is not None and days < SOON_DAYS:
        said = "has expired" if days < 0 else f"ends in {span(days * 86_400)}"
        yield Finding(
            "tls",
            FAIL if days < 0 else WARN,
            f"this gateway's own certificate {path} {said}",
            ("nobody renewed it",),
            (f"put a new one at {path}, then: kerb gateway reload",),
            subject=f"{far.subject}, its own",
            explains=(f"broker/{far.subject}", f"tls/{far.subject}", *_FOLLOWS),
        )


def topics(subject: Subject) -> Iterator[Finding]:
    """What a broker that lets us in does not let us do."""
    found: list[Finding] = []
    waits = {row["outlet"] for row in subject.queues} if subject.store.exists() else set[str]()
    facts = subject.facts
    for far in brokers_of(subject):
        if far.topic is not None and far.stage == "topic":
            found.append(
                Finding(
                    "topics",
                    FAIL,
                    f"the broker {far.address} does not let this gateway read {far.topic}",
                    ("its access list does not have this user, or has another site",),
                    (f"ask who runs the broker: {far.access}",),
                    subject=far.subject,
                    explains=("inlets", "nodes", "problems"),
                )
            )
    outlets: list[dict[str, Any]] = [] if facts is None else facts["outlets"]
    for outlet in outlets:
        if _denied(outlet, outlet["name"] in waits):
            settings = next(row for row in subject.config.outlets if row.name == outlet["name"])
            found.append(
                Finding(
                    "topics",
                    FAIL,
                    f"the broker lets us in and refuses what we publish: {clean(outlet['last_error'])}",
                    ("the right to write was taken from this user in the broker's access list", "prefix = was changed"),
                    (f"ask who runs the broker: let this user write {settings.prefix}/#",),
                    subject=f"outlet {outlet['name']}",
                    explains=("queues", "outlets", "problems", "broker"),
                )
            )
    yield from found or [Finding("topics", OK, "nothing was refused")]


def _denied(outlet: dict[str, Any], waits: bool) -> bool:
    """Whether the last thing that the broker said was that this user may not write there."""
    last = outlet["last_puback_s_ago"]
    return outlet["denied"] and (not outlet["connected"] or (waits and (last is None or last > LATE_S)))
