"""What a guide names: paths, targets, modules and options, variables, ports, names of clusters and clouds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = "deploy|environments|suites|fixtures|instruments|reports|tests|benchmarks"
PATH = re.compile(rf"(?<![\w/.-])(?:\./)?((?:{ROOMS})/[\w*./-]*\w)")
VARIABLE = re.compile(r"\b(?:export |\$\{?)?([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b")


@dataclass(frozen=True, slots=True)
class Guide:
    """One page: its text, and of that what is written as code."""

    name: str
    text: str

    @property
    def blocks(self) -> list[str]:
        """The fenced and the indented blocks; lines that end in a backslash are joined to the next."""
        found = re.findall(r"^```\w*\n(.*?)^```", self.text, re.M | re.S)
        found += re.findall(r"(?:^ {4}\S.*\n)+", self.text, re.M)
        return [re.sub(r"\\\n\s*", " ", block) for block in found]

    @property
    def spans(self) -> list[str]:
        """The inline code; one that was wrapped is one line."""
        prose = re.sub(r"^```\w*\n.*?^```", "", self.text, flags=re.M | re.S)
        return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]

    @property
    def commands(self) -> list[str]:
        """Every line of code."""
        return [line.strip() for block in self.blocks for line in block.splitlines()] + self.spans

    @property
    def code(self) -> str:
        """All code."""
        return "\n".join(self.commands)


def paths(guide: Guide) -> set[str]:
    """Paths of this repository, wherever they stand."""
    return set(PATH.findall(guide.text))


def targets(guide: Guide) -> set[str]:
    """Targets of make."""
    return set(re.findall(r"(?:^|sudo |&& )make ([a-z][a-z-]*)", guide.code, re.M))


def parts(guide: Guide) -> set[str]:
    """Parts of the set-up."""
    return {
        part for found in re.findall(r"PARTS=(\w+|'[\w ]+')", guide.code) for part in found.strip("'").split()
    }


def modules(guide: Guide) -> Iterator[tuple[str, list[str]]]:
    """(module, its options) of each `python -m`."""
    for line in guide.commands:
        for found in re.finditer(r"python -m ([\w.]+)([^|;&]*)", line):
            yield found[1], re.findall(r"(?<=\s)--[a-z][a-z-]*", found[2])


def pytest_options(guide: Guide) -> set[str]:
    """Options given to pytest."""
    lines = [found[0] for line in guide.commands if (found := re.search(r"(?:^|/)pytest .*", line))]
    loose = [span for span in guide.spans if span.startswith("--") and not span.startswith("--cni")]
    return {
        option for line in [*lines, *loose] for option in re.findall(r"(?:^|(?<=\s))--[a-z][a-z-]*", line)
    }


def variables(guide: Guide) -> set[str]:
    """Environment and shell variables, by the form of their names: capitals with an underscore."""
    return set(VARIABLE.findall(guide.code))


def assigned(guide: Guide) -> set[str]:
    """Variables that a guide's own commands set."""
    return set(re.findall(r"(?:^|export |\(|read -rs )([A-Z][A-Z0-9_]*)(?:=| &&)", guide.code, re.M))


def ports(guide: Guide) -> set[str]:
    """Ports: after a colon, or by a name; not those that a guide itself gives to a program (`--port`)."""
    found = set(re.findall(r"(?<=[\w\]]:)(\d{4,5})\b(?!\.)", guide.code))
    found |= set(re.findall(r"(?<!-)[pP]ort(?:Number)?[\"=: ]+(\d{4,5})\b", guide.code))
    return found - set(re.findall(r"--port (\d+)", guide.code))


def kustomizations(guide: Guide) -> set[str]:
    """Folders that kubectl is to apply."""
    return set(re.findall(r"-k (deploy/[\w/-]+)", guide.code))


def kubernetes_names(guide: Guide) -> set[str]:
    """Deployments, Services and so on that commands name, and namespaces."""
    kinds = "deployment|service|secret|certificate|gateway|daemonset"
    named = re.findall(rf"(?:{kinds})[/ ]([a-z][a-z0-9-]+)", "\n".join(_kubectl(guide)))
    return {*named, *re.findall(r"(?:-n|--namespace) ([a-z][a-z0-9-]+)", "\n".join(_kubectl(guide)))}


def _kubectl(guide: Guide) -> list[str]:
    return [line for line in guide.commands if "kubectl" in line]


def units(guide: Guide) -> set[str]:
    """Units of systemd of ours."""
    return set(re.findall(r"\bvllm-[a-z-]+\.(?:service|target|timer)\b", guide.text))


def host_places(guide: Guide) -> set[str]:
    """Files and folders of an installed host, less the files that a guide itself puts there."""
    found = set(re.findall(r"/(?:etc|run/credentials|srv|opt)/vllm-[\w./-]*\w", guide.text))
    return found - set(re.findall(r"\binstall -m .* (/etc/vllm-slo/\S+)$", guide.code, re.M))


def terraform_outputs(guide: Guide) -> set[str]:
    """Outputs that a guide reads."""
    return set(re.findall(r"terraform output -raw (\w+)", guide.code)) | set(
        re.findall(r"output `(\w+)`", guide.text)
    )


def terraform_variables(guide: Guide) -> set[str]:
    """Variables that a guide sets: by -var, or in a file of variables."""
    files = re.findall(r"tfvars <<'END'\n(.*?)\nEND", "\n".join(guide.blocks), re.S)
    in_files = [name for file in files for name in re.findall(r"^(\w+)\s*=", file, re.M)]
    return {*in_files, *re.findall(r"-var '(\w+)=", guide.code)}


def harmless(guide: Guide) -> list[list[str]]:
    """Commands that only print, and read nothing that a reader must make first: arguments of `python -m`."""
    printing = r"python -m (deploy\.engine\.(?:budget|launch))\b([^#|&;]+)"
    found = [match for line in guide.commands for match in re.finditer(printing, line)]
    return [
        [match[1], *match[2].split()] for match in found if "launch" not in match[1] or "--print" in match[2]
    ]
