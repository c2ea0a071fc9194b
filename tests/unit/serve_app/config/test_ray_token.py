"""Ray's token, found where Ray finds it."""

from serve_app.config.ray_token import ray_token


def test_the_variable_comes_before_the_files(tmp_path):
    (tmp_path / "token").write_text("of-file\n")
    variables = {"RAY_AUTH_TOKEN": " of-variable ", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    assert ray_token(variables) == "of-variable"
    del variables["RAY_AUTH_TOKEN"]
    assert ray_token(variables) == "of-file"


def test_the_users_own_file_is_the_last_place(tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("of-home\n")
    assert ray_token({"HOME": str(tmp_path)}) == "of-home"


def test_without_one_it_is_empty(tmp_path):
    assert ray_token({"HOME": str(tmp_path)}) == ""
    assert ray_token({"HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}) == ""
