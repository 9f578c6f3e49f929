"""What the OTEL_* variables may say, what is ignored with a warning, and what is refused."""

from pathlib import Path

import pytest

from contract import tracing_settings
from contract.config import ConfigError
from contract.tracing_settings import DEFAULT_BATCH, DEFAULT_QUEUE, Sampling, Settings
from tests.auth_sidecar import certificates

ENDPOINT = "http://localhost:4318"


def read(**environ: str) -> Settings:
    settings = tracing_settings.read({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, **environ})
    assert settings
    return settings


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read(**environ)
    return str(refused.value)


def test_an_endpoint_alone_is_the_defaults() -> None:
    settings = read()
    assert (settings.url, settings.protocol) == (f"{ENDPOINT}/v1/traces", "http/protobuf")
    assert (settings.queue, settings.batch, settings.timeout_seconds) == (DEFAULT_QUEUE, DEFAULT_BATCH, 10)
    assert (settings.delay_millis, settings.is_compressed, settings.tls) == (5000, False, None)
    assert settings.warnings == settings.unusable == ()


def test_what_is_for_traces_alone_wins_and_its_address_is_taken_as_it_is() -> None:
    settings = read(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://traces.example.com/here",
        OTEL_EXPORTER_OTLP_HEADERS="a=1",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="Authorization=Bearer%20x,b = 2",
        OTEL_EXPORTER_OTLP_TIMEOUT="20000",
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="2500",
        OTEL_EXPORTER_OTLP_COMPRESSION="GZIP",
    )
    assert settings.url == "https://traces.example.com/here"
    assert settings.headers == {"authorization": "Bearer x"}
    assert (settings.timeout_seconds, settings.is_compressed) == (2.5, True)
    assert settings.tls is not None


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SDK_DISABLED": "True"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "None"},
    ],
    ids=str,
)
def test_tracing_is_off(environ: dict[str, str]) -> None:
    assert tracing_settings.read({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, **environ}) is None


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-5"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ],
)
def test_what_cannot_be_read_is_named_and_treated_as_not_set(variable: str, text: str) -> None:
    settings, plain = read(**{variable: text}), read()
    (warning,) = settings.warnings
    assert warning.startswith(f"{variable}: {text!r} is ")
    assert settings.unusable == (variable,)
    for name in ("queue", "batch", "delay_millis", "timeout_seconds", "is_compressed", "sampling"):
        assert getattr(settings, name) == getattr(plain, name)


def test_an_empty_variable_is_as_if_it_were_not_set() -> None:
    empty = dict.fromkeys(("OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_TRACES_EXPORTER"), "")
    settings = read(**empty)
    assert settings.warnings == ()
    assert set(settings.unusable) == set(empty)


def test_no_text_of_a_header_is_repeated() -> None:
    settings = read(OTEL_EXPORTER_OTLP_HEADERS="secret,x=a%0ab,authorization=Bearer%20t")
    assert settings.headers == {"authorization": "Bearer t"}
    assert "OTEL_EXPORTER_OTLP_HEADERS" in settings.warnings[0]
    assert "secret" not in settings.warnings[0]


def test_a_batch_is_no_larger_than_the_queue() -> None:
    assert read(OTEL_BSP_MAX_QUEUE_SIZE="10").batch == 10


def test_a_time_out_of_nothing_is_a_very_long_one() -> None:
    assert read(OTEL_EXPORTER_OTLP_TIMEOUT="0").timeout_seconds == tracing_settings.NO_LIMIT_SECONDS
    assert read(OTEL_EXPORTER_OTLP_TIMEOUT="0", OTEL_BSP_EXPORT_TIMEOUT="5000").timeout_seconds == 5


@pytest.mark.parametrize(
    ("variable", "text", "mend"),
    [
        ("OTEL_TRACES_EXPORTER", "console", "set otlp or none"),
        ("OTEL_TRACES_EXPORTER", "otlp,console", "set otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "set http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "xyz", "set http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "give one such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", " ", "give one such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://localhost", "give one such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:99999", "give one such as http://localhost:4318"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(variable: str, text: str, mend: str) -> None:
    said = refusal(**{variable: text})
    assert said.startswith(f"environment:1: {variable}: {text.strip()!r} is no")
    assert said.endswith(f"({mend})")
    assert "\n" not in said


def test_a_certificate_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "ca.pem")
    said = refusal(OTEL_EXPORTER_OTLP_ENDPOINT="https://localhost", OTEL_EXPORTER_OTLP_CERTIFICATE=missing)
    assert said.startswith("environment:1: OTEL_EXPORTER_OTLP_CERTIFICATE: cannot be used: ")
    ca = certificates.authority(tmp_path)
    said = refusal(
        OTEL_EXPORTER_OTLP_ENDPOINT="https://localhost",
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(ca),
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=missing,
    )
    assert "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: cannot be used" in said


@pytest.mark.parametrize(
    ("name", "share", "expected"),
    [
        ("", "", Sampling(True, 1 << 64)),
        ("always_on", "", Sampling(False, 1 << 64)),
        ("ALWAYS_OFF", "", Sampling(False, 0)),
        ("traceidratio", "0.5", Sampling(False, 1 << 63)),
        ("parentbased_traceidratio", "0.25", Sampling(True, 1 << 62)),
        ("parentbased_always_off", "", Sampling(True, 0)),
        ("jaeger_remote", "", Sampling(True, 1 << 64)),
        ("parentbased_parentbased_always_off", "", Sampling(True, 1 << 64)),
        ("traceidratio", "ten", Sampling(False, 1 << 64)),
        ("traceidratio", "1.5", Sampling(False, 1 << 64)),
        ("traceidratio", "nan", Sampling(False, 1 << 64)),
    ],
)
def test_sampling_is_what_the_standard_variables_say(name: str, share: str, expected: Sampling) -> None:
    assert read(OTEL_TRACES_SAMPLER=name, OTEL_TRACES_SAMPLER_ARG=share).sampling == expected
