"""Cost: formulas against values worked out by hand, prices checked whole, the guide's tables made of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cost import bill, table
from deploy.cost.__main__ import main
from deploy.cost.prices import DEFAULT, Host, Prices, PricesError, StackParts, load

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "deploy/guides/cost.md"


@pytest.fixture(scope="module")
def prices() -> Prices:
    return load()


@pytest.mark.parametrize(
    ("price", "tokens_per_s", "utilisation", "expected"),
    [
        # 1 a second is 3,600 an hour: 3.6 an hour is a thousandth a token.
        pytest.param(3.6, 1, 1.0, 1000.0, id="a-thousandth-a-token"),
        # 3,075.84 × 3,600 × 0.5 = 5,536,512 tokens an hour for 1.006: 1.006 / 5.536512
        pytest.param(1.006, 3075.84, 0.5, 0.181703, id="half-busy"),
        pytest.param(1.006, 3075.84, 0.05, 1.817028, id="a-twentieth"),
    ],
)
def test_a_million_tokens(price: float, tokens_per_s: float, utilisation: float, expected: float) -> None:
    assert bill.per_million(price, tokens_per_s, utilisation) == pytest.approx(expected, abs=5e-7)


def test_an_hour_of_eks_by_hand(prices: Prices) -> None:
    by_hand = (
        0.10  # control plane
        + 2 * 0.1008
        + 1.006
        + 0.045  # NAT gateway
        + 0.0225 + 0.006  # load balancer, one capacity unit
        + 4 * 0.005  # addresses
        + (1.00 + 3 * 2.10 + 300 * 0.08 + 100 * 0.023) / 730  # key, monitoring, gp3, S3
    )  # fmt: skip
    assert by_hand == pytest.approx(1.447127, abs=1e-6)
    for utilisation in (0.0, 1.0):
        assert bill.price_per_hour(prices, prices.stacks["eks"], utilisation) == pytest.approx(by_hand)


def test_a_host_pays_for_rest_load_and_purchase(prices: Prices) -> None:
    stack = StackParts(what="", host=Host(idle_w=100, busy_w=500, hardware=8760, years=2))
    # Purchase 8,760 / (2 × 8,760 h) = 0.5 an hour; power 0.1, 0.3, 0.5 kW at 0.20
    for utilisation, expected in ((0.0, 0.52), (0.5, 0.56), (1.0, 0.60)):
        assert bill.price_per_hour(prices, stack, utilisation) == pytest.approx(expected)
    assert bill.idle_share(prices, stack, 0.5) == pytest.approx(0.52 / 0.56)
    # 0.4 kW × 0.20 = 0.08 an hour more, in which 1,000/s make 3.6 million.
    assert bill.marginal_per_million(prices, stack, 1000) == pytest.approx(0.08 / 3.6)


def test_a_million_more_in_the_cloud_costs_its_bytes(prices: Prices) -> None:
    # 200 bytes × 10⁶ = 0.2 GB at 0.09
    assert bill.marginal_per_million(prices, prices.stacks["eks"], 5) == pytest.approx(0.018)
    assert bill.idle_share(prices, prices.stacks["eks"], 0.5) == 1.0


def test_stacks_consist_of_what_terraform_makes(prices: Prices) -> None:
    for stack, named in {
        "eks": {"m7i.large": 2, "g5.xlarge": 1},
        "kubeadm": {"t3.medium": 1, "t3.large": 1, "g4dn.xlarge": 1},
    }.items():
        text = (ROOT / f"deploy/terraform/{stack}/variables.tf").read_text()
        defaults = set(re.findall(r'"([a-z][a-z0-9]+\.[a-z0-9]+)"', text))
        assert dict(prices.stacks[stack].instances) == named
        assert set(named) == {one for one in defaults if one in prices.instance_hour}
        roots = {int(one) for one in re.findall(r"disk_gib\s*=\s*(?:optional\(number, )?(\d+)", text)}
        assert roots == {"eks": {50, 150}, "kubeadm": {50, 100, 150}}[stack]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("g5.xlarge: 1.006", "g5.xlarge: -1", "instance_hour.g5.xlarge"),
        ("nat-gateway: 0.045", "nat: 0.045", "stacks.eks.services.nat-gateway: no price is listed"),
        ("power_kwh: 0.20", "power_kw: 0.20", "power_kwh"),
        ("- stack: local", "- stack: elsewhere", "throughputs: no stack elsewhere"),
        ("tokens_per_s: 6800", "tokens_per_s: 0", "throughputs.3.tokens_per_s"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = DEFAULT.read_text()
    assert text.count(old) == 1
    file = tmp_path / "prices.yaml"
    file.write_text(text.replace(old, new))
    with pytest.raises(PricesError, match=re.escape(complaint)):
        load(file)


def test_the_guide_holds_the_tables_of_the_prices(prices: Prices) -> None:
    _, _, tables = GUIDE.read_text().partition("<!-- python -m deploy.cost -->\n")
    assert tables == table.document(prices), "run: python -m deploy.cost, and put it in the guide"
    assert "not looked up live" in tables
    assert str(prices.as_of) in tables


def test_one_stack_with_a_throughput_of_ones_own() -> None:
    words = ["--stack", "a6000", "--tokens-per-s", "800", "--utilisation", "0.5"]
    argv = [sys.executable, "-m", "deploy.cost", *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    # 470 W × 0.20 + 13,000 / 26,280 h = 0.094 + 0.494673; / 1.44 million an hour
    assert "| sum |  | 0.5887 |" in done.stdout
    assert "| 800 | 0.409 | 0.046 |" in done.stdout


@pytest.mark.parametrize("words", [["--stack", "a6000"], ["--stack", "none", "--tokens-per-s", "1"]])
def test_half_a_question_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "go together" in capsys.readouterr().err


def test_an_hour_of_counted_parts_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """2 × 0.1008 + 50 GiB × 0.08 / 730; what has no price is named, and in no sum."""
    words = ["--json", "--part", "m7i.large=2", "--part", "gp3=50", "--part", "a-moon=1"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["per_hour"] == pytest.approx(0.2016 + 0.0054795, abs=1e-7)
    assert [line["what"] for line in said["lines"]] == ["m7i.large", "gp3"]
    assert (said["unpriced"], said["currency"], said["as_of"]) == (["a-moon"], "USD", "2025-06-30")
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["per_hour"] == 0


@pytest.mark.parametrize("part", ["gp3", "gp3=", "=3", "gp3=-1", "gp3=inf", "gp3=nan", "gp3=many"])
def test_a_part_without_a_count_is_refused(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--json", "--part", part])
    assert "expected NAME=N" in capsys.readouterr().err


def test_parts_are_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--part", "gp3=1"]) == 2
    assert "--part is priced with --json" in capsys.readouterr().err
