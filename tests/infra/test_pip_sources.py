from infra.pip_sources import PackageSources, parse

FULL = """\
:env:.cert='/etc/certs.pem'
:env:.find-links='/wheels'
global.extra-index-url='https://one.example/simple https://two.example/simple'
global.find-links='/ignored'
global.index-url='https://global.example/simple'
global.trusted-host='\\none.example\\ntwo.example'
install.index-url='https://install.example/simple'
install.no-index='false'
"""


def test_the_stronger_scope_wins_and_lists_are_split() -> None:
    sources = parse(FULL)
    assert sources == PackageSources(
        index="https://install.example/simple",
        extra_indexes=("https://one.example/simple", "https://two.example/simple"),
        find_links=("/wheels",),
        trusted_hosts=("one.example", "two.example"),
        certificates="/etc/certs.pem",
    )


def test_nothing_configured_gives_no_arguments() -> None:
    assert parse("").arguments() == []
    assert parse("").environment() == {"UV_SYSTEM_CERTS": "1"}


def test_indexes_are_searched_as_pip_does() -> None:
    arguments = parse(FULL).arguments()
    assert arguments[:2] == ["--index-strategy", "unsafe-best-match"]
    assert arguments[arguments.index("--default-index") + 1] == "https://install.example/simple"
    assert arguments.count("--index") == 2
    assert arguments[-2:] == ["--find-links", "/wheels"]
    assert parse(FULL).environment()["SSL_CERT_FILE"] == "/etc/certs.pem"


def test_loose_wheels_are_left_out_on_demand_unless_they_are_all_there_is() -> None:
    loose = PackageSources(find_links=("/wheels",))
    assert loose.arguments(find_links=False) == []
    alone = PackageSources(find_links=("/wheels",), no_index=True)
    assert alone.arguments(find_links=False) == ["--no-index", "--find-links", "/wheels"]


def test_values_that_are_not_quoted_are_taken_as_they_are() -> None:
    assert parse("global.find-links = /some/where").find_links == ("/some/where",)
