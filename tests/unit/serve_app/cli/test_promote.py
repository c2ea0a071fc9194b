"""`serve-app promote`."""

COMMANDS = ("POST", "/admin/commands")
ROLLOUT = {"id": "1", "strategy": "canary", "phase": "running", "step": 2, "steps": 2, "percent": 50}


def test_a_rollout_goes_on_and_says_where_it_is(run, server):
    server.on(*COMMANDS, ROLLOUT)
    code, out, err = run("promote", "digits", "--force", "--url", server.url)
    assert (code, err) == (0, "")
    assert out == "digits  [############............]  canary step 2/2 at 50%, for 0 s\n"
    ((_, _, command),) = server.asked
    assert (command["verb"], command["model"], command["force"]) == ("promote", "digits", True)


def test_a_refusal_is_the_servers_sentence(run, server):
    server.on(*COMMANDS, {"error": "digits has no rollout that waits"}, status=409)
    code, out, err = run("promote", "digits", "--url", server.url)
    assert (code, out, err) == (1, "", "error: digits has no rollout that waits (status 409)\n")


def test_a_token_variable_must_be_set(run, server):
    code, _, err = run("promote", "digits", "--url", server.url, "--token-env", "NO_SUCH_TOKEN")
    assert (code, err) == (1, "error: --token-env names NO_SUCH_TOKEN, which is not set\n")
    assert server.asked == []
