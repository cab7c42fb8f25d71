"""The studio's server: who may talk to it, every message in both directions, and pages that misbehave."""

import asyncio
import json
import re
from importlib.resources import files

import numpy as np
import pytest

from studio_fakes import HOST, Person, until

pytest.importorskip("starlette")
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from myograph.cli.studio.server import MOST_ANSWERS, MOST_CLIENTS, Client, Server, make_app
from myograph.cli.studio.studio import Studio
from myograph.cli.studio.view import HEADER, KIND, View

STATIC = files("myograph.cli.studio").joinpath("static")
PARTS = {"source", "record", "train", "decode", "test"}


@pytest.fixture
def studio(tmp_path):
    return Studio(Person(), tmp_path / "studio")


@pytest.fixture
def client(studio):
    with TestClient(make_app(studio, acquire=False), base_url=f"http://{HOST}") as client:
        yield client


def ask(socket, do, **values):
    """Send a command, and return its answer; state that comes in between is passed over."""
    socket.send_text(json.dumps({"do": do, "with": values, "id": 5}))
    return answer(socket)


def answer(socket):
    while True:
        message = socket.receive()
        if message.get("text"):
            found = json.loads(message["text"])
            if "done" in found or "error" in found:
                return found


def receive(socket, wanted):
    """The next message for which `wanted` gives something true."""
    while True:
        message = socket.receive()
        assert message["type"] == "websocket.send", message
        found = wanted(json.loads(message["text"]) if message.get("text") else message["bytes"])
        if found:
            return found


def part(name):
    return lambda message: message["value"] if isinstance(message, dict) and message.get("part") == name else None


def test_the_page_and_all_its_files_are_served_with_headers(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    named = set(re.findall(r'(?:href|src)="(static/[^"]+)"', page.text))
    assert {"static/style.css", "static/main.js"} <= named
    for path in [*named, *(f"static/{f.name}" for f in STATIC.iterdir())]:
        found = client.get(f"/{path}")
        assert found.status_code == 200
        assert found.headers["x-content-type-options"] == "nosniff"


def test_every_module_that_is_imported_exists():
    for file in STATIC.iterdir():
        for name in re.findall(r'from "\./([^"]+)"', file.read_text(encoding="utf-8")):
            assert STATIC.joinpath(name).is_file(), f"{file.name} imports {name}"


def test_no_file_names_another_server():
    for file in STATIC.iterdir():
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s'\"]*", file.read_text(encoding="utf-8"))
        assert [f for f in found if "www.w3.org" not in f] == [], file.name


@pytest.mark.parametrize("path", ["../server.py", "..%2fserver.py", "%2e%2e/server.py", "/etc/passwd", "..\\server.py"])
def test_files_outside_the_folder_are_not_served(client, path):
    found = client.get(f"/static/{path}")
    assert found.status_code in (403, 404)
    assert "import" not in found.text
    assert "root:" not in found.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "192.168.1.7:8765", "studio.lab:8765"]
)
def test_addresses_and_given_names_are_answered(studio, host):
    with TestClient(make_app(studio, names=("studio.lab",), acquire=False), base_url=f"http://{HOST}") as client:
        assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "a b"]
)
def test_other_host_names_are_refused(client, host):
    """A page elsewhere whose name is pointed to 127.0.0.1 (DNS rebinding) sends its own name."""
    assert client.get("/", headers={"host": host}).status_code == 403
    refused(client, {"host": host})


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:9999",
        "http://localhost:8765",
        "null",
        "http://127.0.0.1:8765.evil.example",
    ],
)
def test_pages_of_other_sites_are_refused(client, origin):
    refused(client, {"host": HOST, "origin": origin})
    assert client.get("/", headers={"origin": origin}).status_code == 403


def test_the_page_itself_is_let_in(client):
    with client.websocket_connect("/live", headers={"host": HOST, "origin": f"http://{HOST}"}) as socket:
        assert receive(socket, part("source"))["n_channels"] == 4


def refused(client, headers, query=""):
    with pytest.raises(WebSocketDisconnect) as error, client.websocket_connect(f"/live{query}", headers=headers):
        pass
    assert error.value.code == 1008


WRONG_TOKENS = ["", "?token=", "?token=wrong", "?token=secre", "?token=secretx", "?other=secret"]


@pytest.mark.parametrize("query", [*WRONG_TOKENS, "?token=a&token=secret", "?token=secret&token=a"])
def test_a_missing_or_wrong_token_is_refused(studio, query):
    with TestClient(make_app(studio, token="secret", acquire=False), base_url=f"http://{HOST}") as client:
        assert client.get(f"/{query}").status_code == 403
        assert client.get(f"/report/1{query}").status_code == 403
        refused(client, {"host": HOST}, query)
        assert client.get("/static/main.js").status_code == 200  # no secret in it


def test_the_right_token_is_let_in(studio):
    with TestClient(make_app(studio, token="secret", acquire=False), base_url=f"http://{HOST}") as client:
        assert client.get("/?token=secret").status_code == 200
        with client.websocket_connect("/live?token=secret", headers={"host": HOST}) as socket:
            assert receive(socket, part("source"))


def test_a_new_page_gets_the_whole_state(client):
    with client.websocket_connect("/live", headers={"host": HOST}) as socket:
        found = set()
        while found != PARTS:
            found.add(receive(socket, lambda m: m.get("part") if isinstance(m, dict) else None))


def frame(data):
    kind, channels, bins, size, first, per_second = HEADER.unpack_from(data)
    assert kind == KIND
    values = np.frombuffer(data, np.float32, offset=HEADER.size)
    low, high = values[: 2 * bins * channels].reshape(2, bins, channels)
    return int(first), low, high, values[2 * bins * channels :], size, per_second


def test_frames_hold_the_least_and_greatest_sample_of_every_bin(client, studio):
    for _ in range(25):
        studio.engine.step()
    signal = np.hstack(studio.engine.session.source.given)
    with client.websocket_connect("/live", headers={"host": HOST}) as socket:
        first, low, high, level, size, per_second = frame(receive(socket, lambda m: isinstance(m, bytes) and m))
    assert (first, size, per_second) == (0, 2, 250)
    assert np.array_equal(low.T, np.minimum(signal[:, ::2], signal[:, 1::2]))
    assert np.array_equal(high.T, np.maximum(signal[:, ::2], signal[:, 1::2]))
    assert np.allclose(level, signal[:, -50:].std(axis=1), rtol=1e-4)


def test_a_page_gets_every_bin_once(client, studio):
    with client.websocket_connect("/live", headers={"host": HOST}) as socket:
        seen = []
        while len(seen) < 200:
            studio.engine.step()
            first, low, *_ = frame(receive(socket, lambda m: isinstance(m, bytes) and m))
            seen += range(first, first + len(low))
        assert seen == list(range(len(seen)))


@pytest.mark.parametrize("step", [1, 7, 20, 33, 10_000])
def test_bins_do_not_depend_on_the_chunks(step):
    signal = np.random.default_rng(0).normal(size=(3, 20_000)).astype(np.float32)
    view = View(3, 2000.0)
    for start in range(0, 20_000, step):
        view.push(signal[:, start : start + step])
    first, low, high, *_ = frame(view.frame(0)[0])
    blocks = signal.reshape(3, -1, 8)
    assert (first, view.bins) == (0, 2500)
    assert np.array_equal(low.T, blocks.min(axis=2))
    assert np.array_equal(high.T, blocks.max(axis=2))


def test_the_ring_keeps_the_newest_bins():
    view = View(1, 250.0)
    view.push(np.arange(10_000, dtype=np.float32)[None])
    first, low, *_ = frame(view.frame(0)[0])
    assert first == 10_000 - 3000
    assert low[:, 0].tolist() == list(range(7000, 10_000))


COMMANDS = [
    ("source.perform", {"gesture": "fist"}),
    ("source.follow", {"on": False}),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": ["fist"]}}),
    ("record.pause", {}),
    ("record.resume", {}),
    ("record.undo", {}),
    ("record.stop", {}),
    ("decode.stop", {}),
    ("test.stop", {}),
    ("test.steer", {"x": 0.5, "y": 0}),
    ("decode.post", {"votes": 5, "threshold": 0.6, "ramp": 3}),
]


def test_commands_are_answered_and_their_state_is_sent(client, studio):
    with client.websocket_connect("/live", headers={"host": HOST}) as socket:
        for name, values in COMMANDS:
            assert ask(socket, name, **values) == {"done": 5}, name
        post = receive(socket, lambda m: isinstance(m, dict) and m.get("part") == "decode" and m["value"]["post"])
        assert post == {"votes": 5, "threshold": 0.6, "ramp": 3}
    assert studio.engine.session.source.gesture == "fist"
    assert studio.follow is False


WRONG = [
    ("nothing", {}, "no command named 'nothing'"),
    ("record.start", {}, "subject"),
    ("record.start", {"subject": "../x", "session": "1", "plan": {"gestures": ["a"]}}, "letters, digits"),
    ("record.start", {"subject": "me", "session": "a/b", "plan": {"gestures": ["a"]}}, "letters, digits"),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": []}}, "one or more"),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": "fist"}}, "list of names"),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": ["a", "a"]}}, "different"),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": ["rest"]}}, "without 'rest'"),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": ["a"], "hold_s": 1e9}}, "hold_s must be"),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": ["a"], "more": 1}}, "no setting 'more'"),
    ("record.start", {"subject": "me", "session": "1", "plan": {"gestures": ["a"], "shape": "x"}}, "shape must be"),
    ("record.start", {"subject": 3, "session": "1", "plan": {"gestures": ["a"]}}, "subject must be str"),
    ("record.again", {"subject": "me", "session": "9"}, "cannot be read"),
    ("source.follow", {"on": 1}, "on must be bool"),
    ("source.follow", {"on": True, "more": 1}, "unexpected"),
    ("source.again", {}, "only a replay that has ended"),
    ("train.start", {"method": "lda"}, "record a session first"),
    ("train.start", {"method": "myonet"}, "the studio trains"),
    ("train.start", {"method": "lda", "length_ms": "x"}, "length_ms must be float"),
    ("train.save", {"name": "x"}, "train one first"),
    ("decode.load", {"name": "x"}, "x.myo"),
    ("decode.load", {"name": "../../etc/passwd"}, "letters, digits"),
    ("decode.post", {"votes": 0}, "votes must be 1"),
    ("decode.post", {"votes": 2.5}, "votes must be int"),
    ("decode.post", {"threshold": float("nan")}, "threshold must be"),
    ("decode.wrong", {"label": "fist"}, "nothing has been decided"),
    ("test.motion", {}, "no decoder is in use"),
    ("test.rest", {}, "no decoder is in use"),
    ("test.fitts", {"directions": {}}, "no decoder is in use"),
    ("test.steer", {"x": 1e999, "y": 0}, "x must be float"),
]


@pytest.mark.parametrize(("name", "values", "says"), WRONG)
def test_a_command_that_cannot_be_carried_out_says_why(client, name, values, says):
    with client.websocket_connect("/live", headers={"host": HOST}) as socket:
        found = ask(socket, name, **values)
        assert found["id"] == 5
        assert says in found["error"]
        assert ask(socket, "record.stop") == {"done": 5}


MALFORMED = ["", "{", "[]", "3", "null", '{"do": 3}', '{"do": "record.stop", "with": []}', "[" * 50_000, "x" * 70_000]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_message_is_answered_and_the_page_goes_on(client, text):
    with client.websocket_connect("/live", headers={"host": HOST}) as socket:
        socket.send_text(text)
        assert "error" in answer(socket)
        socket.send_bytes(b"\x80\x04K\x01.")
        assert "error" in answer(socket)
        assert ask(socket, "record.stop") == {"done": 5}


def test_fifty_pages_see_the_same_state(client, studio):
    from contextlib import ExitStack

    with ExitStack() as stack:
        sockets = [stack.enter_context(client.websocket_connect("/live", headers={"host": HOST})) for _ in range(50)]
        assert ask(sockets[0], "decode.post", votes=9) == {"done": 5}
        for socket in sockets:
            assert receive(
                socket, lambda m: isinstance(m, dict) and m.get("part") == "decode" and m["value"]["post"]["votes"] == 9
            )


class Slow:
    """A socket that is never ready to send."""

    def __init__(self):
        self.sent = []

    async def send_text(self, text):
        await asyncio.Event().wait()

    send_bytes = send_text


def test_a_page_that_does_not_read_costs_neither_memory_nor_samples(studio):
    async def scene():
        server = Server(studio)
        client = Client(Slow(), 0)
        server.clients.add(client)
        writer = asyncio.create_task(client.write())
        for _ in range(300):
            studio.engine.step()
            server.send_frame()
            server.send_parts()
            await asyncio.sleep(0)
        writer.cancel()
        return client

    client = asyncio.run(scene())
    assert len(client.parts) <= len(PARTS)
    assert studio.engine.now == 300 * 20
    client.frame = None  # it reads at last: what it gets then begins where its last frame ended
    first = client.next_bin
    Server(studio).clients.add(client)
    server = Server(studio)
    server.clients.add(client)
    server.send_frame()
    assert frame(client.frame)[0] == max(first, studio.view.bins - studio.view.room)
    assert client.next_bin == studio.view.bins


def test_a_page_that_only_asks_is_closed():
    client = Client(Slow(), 0)
    for _ in range(MOST_ANSWERS):
        client.answer("x")
    with pytest.raises(WebSocketDisconnect):
        client.answer("x")


def test_there_is_a_most_of_pages(studio):
    app = make_app(studio, acquire=False)
    with TestClient(app, base_url=f"http://{HOST}") as client:
        server = next(r for r in app.routes if r.path == "/live").endpoint.__self__
        server.clients = {Client(Slow(), 0) for _ in range(MOST_CLIENTS)}
        with pytest.raises(WebSocketDisconnect) as error, client.websocket_connect("/live", headers={"host": HOST}):
            pass
        server.clients = set()
    assert error.value.code == 1013


def test_the_source_is_read_while_the_application_runs(tmp_path):
    studio = Studio(Person(), tmp_path)
    with (
        TestClient(make_app(studio), base_url=f"http://{HOST}") as client,
        client.websocket_connect("/live", headers={"host": HOST}) as socket,
    ):
        assert receive(socket, lambda m: isinstance(m, dict) and "tick" in m and m["tick"]["seconds"] > 1)
    assert not studio.engine.session.connected


def test_a_lost_device_is_shown_and_found_again(tmp_path):
    studio = Studio(Person(lost_at=(10,)), tmp_path)
    until(studio, lambda: studio.engine.state == "lost", 20)
    assert studio.parts()["source"]["state"] == "lost"
    before = studio.engine.now
    until(studio, lambda: studio.engine.now > before)
    found = studio.parts()["source"]
    assert found["state"] == "live"
    assert found["counts"]["restarts"] == 1
    assert found["gaps"] == [before // 2]


def test_gaps_are_counted_and_marked(tmp_path):
    studio = Studio(Person(skip={5: 10, 9: 5000}), tmp_path)
    for _ in range(12):
        studio.engine.step()
    found = studio.parts()["source"]
    assert found["counts"] == {"filled": 10, "lost": 5000, "repeated": 0, "restarts": 1}
    assert found["gaps"] == [(8 * 20 + 10) // 2]
    assert studio.engine.now == 12 * 20 + 10


def test_a_replay_that_ended_can_be_played_again(tmp_path):
    studio = Studio(Person(ends_at=5), tmp_path)
    until(studio, lambda: studio.engine.state == "ended", 20)
    studio.engine.session.source.ends_at = None
    studio.command("source.again", {})
    before = studio.engine.now
    studio.engine.step()
    assert studio.engine.now > before


def test_an_error_of_a_listener_does_not_end_the_acquisition(tmp_path):
    studio = Studio(Person(), tmp_path)

    def fail(piece):
        raise OSError("the disk is full")

    studio.engine.take = fail
    studio.engine.step()
    studio.engine.step()
    assert (studio.engine.now, studio.engine.problem) == (40, "the disk is full")
