"""What is registered: the deployments of prefect.yaml, with the machine's folders as schedules."""

from pathlib import Path

import pytest

from deployments.registering import iter_deployments, plan_schedules
from imagetwins.errors import ParameterError


def test_the_definitions_have_no_folder_and_no_schedule_of_their_own():
    for deployment in iter_deployments():
        assert "folder" not in deployment.parameters
        assert "schedules" not in deployment.model_dump(exclude_unset=True)


def test_folders_that_look_alike_have_schedules_of_their_own():
    schedules = plan_schedules([Path("/a/x y"), Path("/a/x-y"), Path("/")], "0 3 * * *", "Europe/Berlin")
    assert len({schedule.slug for schedule in schedules}) == 3
    assert [schedule.parameters["folder"] for schedule in schedules] == ["/a/x y", "/a/x-y", "/"]


@pytest.mark.parametrize(("cron", "timezone"), [("every night", "UTC"), ("0 3 * * *", "Mars/Olympus")])
def test_a_schedule_that_is_none_is_refused(cron, timezone):
    with pytest.raises(ParameterError, match=r"Invalid (cron string: \"every night|timezone: \"Mars).*For every night"):
        plan_schedules([Path("/a")], cron, timezone)
