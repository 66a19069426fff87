"""The page that predicts a post and shows what would change it: served by Streamlit to this machine alone."""

from importlib.util import find_spec
from pathlib import Path

from smp import tracks
from smp.disk.pictures import MAX_PIXELS
from smp.errors import DataError
from smp.oof import finished

LARGEST = 50  # MB that may be dropped; MAX_PIXELS holds as everywhere
SETTINGS = {
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": LARGEST,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "viewer",
    "global.developmentMode": False,
}


def app(track: str, experiment: str = "", port: int = 8501) -> None:
    """Serve the page at http://127.0.0.1:PORT until Ctrl-C. Raises DataError without Streamlit or what it is to ask.

    Args:
        track: whose posts they are.
        experiment: whose models to ask, with its @variant; the track's final one where none is named.
        port: of the loopback address.
    """
    finished(track, experiment := experiment or tracks.get(track).final)
    if find_spec("streamlit") is None:
        raise DataError("streamlit: not installed; pip install -r requirements-app.txt")
    from streamlit.web import bootstrap

    flags = {name.replace(".", "_"): value for name, value in SETTINGS.items()} | {"server_port": port}
    bootstrap.load_config_options(flags)
    print(f"http://127.0.0.1:{port}: pictures up to {LARGEST} MB and {MAX_PIXELS:,} pixels; Ctrl-C ends it")
    bootstrap.run(str(Path(__file__).with_name("page.py")), False, [track, experiment], flags)
