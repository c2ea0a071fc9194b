"""What scenarios begin with."""

from __future__ import annotations

from load_tests.releases import scene


def test_a_server_has_digits_v1_alone_and_its_state_in_the_folder(tmp_path):
    file = scene.with_digits(tmp_path, gateways=2)
    assert list(file.releases) == ["digits-v1"]
    assert file.models == {"digits": {"traffic": {"v1": 100}}}
    assert file.gateway["args"]["releases"]["state_url"] == f"sqlite:///{tmp_path}/state.db"


def test_what_cannot_be_asked_is_asked_again():
    answers = iter([KeyError, False, True])

    def claim() -> bool:
        answer = next(answers)
        if answer is KeyError:
            raise KeyError
        return answer

    assert scene.comes(claim, 10)


def test_what_never_comes_is_told():
    assert not scene.comes(lambda: False, 0.01)
