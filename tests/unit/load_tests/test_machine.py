import platform

from load_tests.machine import Machine, processor_of, system_of, this_machine


def test_the_files_of_linux_are_read():
    assert processor_of("processor: 0\nmodel name\t: Xeon: fast\nmodel name\t: other") == "Xeon: fast"
    assert system_of('NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12"\n') == "Debian GNU/Linux 12"
    assert (processor_of(""), system_of("")) == ("", "")


def test_this_machine_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("load_tests.machine.interpreter_fault", lambda: "slow")
    here = this_machine()
    assert here.python == f"{platform.python_version()} built without optimisations"
    assert here.cores >= 1
    assert dict(here.packages)["serve-app"]
    told = str(Machine(2, "Xeon", 23.5, "Debian 12", "3.11.2", (("ray", "2.60.0"),)))
    assert told == "2 cores (Xeon), 24 GB, Debian 12, Python 3.11.2, ray 2.60.0"
