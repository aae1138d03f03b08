"""The machine and its packages: what is missing or of the wrong version is named."""

import re
import resource

import pytest
from packaging.requirements import Requirement

from imagetwins.doctor.machine import examine_machine, examine_packages, find_mismatch


def test_on_this_machine_all_packages_are_as_they_are_needed(told):
    level, what = told(list(examine_packages()), "packages")
    assert level == "ok"
    assert "prefect 3." in what


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ("numpy<1", r"numpy \d.* is not <1"),
        ("no-package-of-this-name>=2", "no-package-of-this-name is missing"),
        ("no-package-of-this-name; extra == 's3'", None),
        ("no-package-of-this-name; python_version < '3'", None),
        ("numpy>=1", None),
    ],
)
def test_a_package_that_is_not_as_it_is_needed_is_named_and_what_one_may_do_without_is_not(needed, said):
    found = find_mismatch(Requirement(needed))
    assert re.fullmatch(said, found) if said else found is None


def test_few_open_files_are_a_warning(told):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        findings = list(examine_machine())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert told(findings, "open files") == ("warning", "a process may have 100 open")
    assert told(findings, "system")[0] == "ok"
    assert "open files" not in [finding.subject for finding in examine_machine()]
