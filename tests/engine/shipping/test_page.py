"""A page answers in a browser, from disk and without a network, as `predict` does."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import project as package
from tests.conftest import REPOSITORY, Project

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RUNTIME = REPOSITORY / "node_modules/onnxruntime-web"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_a_browser = pytest.mark.skipif(
    CHROMIUM is None or not RUNTIME.is_dir(), reason="no Chromium, or no onnxruntime-web here"
)
SHORT = "--run.report false --run.tensorboard false --run.threads 1 --run run"
ASK = """<script type="module">
const wait = milliseconds => new Promise(done => setTimeout(done, milliseconds));
while (!globalThis.trained) await wait(50);
const given = %s;
if (typeof given === 'string') { document.querySelector('#table').value = given; await trained.table(); }
else await trained.files(Object.entries(given).map(([name, text]) =>
  new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name, { type: 'image/png' })));
const out = [...document.querySelectorAll('figure')].map(figure => ({
  wrong: figure.querySelector('.wrong')?.textContent ?? '',
  values: Object.fromEntries([...figure.querySelectorAll('.row')].map(row =>
    [row.querySelector('b').title, Number(row.lastChild.dataset.value)])) }));
const asked = performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !/^(data|blob):/.test(name));
const pre = document.createElement('pre'); pre.id = 'out';
pre.textContent = JSON.stringify({ out, asked }); document.body.append(pre);
</script>"""


def asked(page: Path, given: Any) -> list[dict[str, Any]]:
    """What a page answers to files, or to a table as text."""
    copy = page.with_name("asked.html")
    script = ASK % json.dumps(given).replace("<", "\\u003c")
    copy.write_text(page.read_text().replace("</body>", f"{script}</body>"))
    assert CHROMIUM is not None
    words = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"]
    words += [f"--user-data-dir={page.parent}/profile", "--host-resolver-rules=MAP * ~NOTFOUND"]
    for budget in (300_000, 1_000_000, 4_000_000):  # of the page's clock, while the network works
        asks = [f"--virtual-time-budget={budget}", "--dump-dom", copy.as_uri()]
        done = subprocess.run([*words, *asks], capture_output=True, text=True, timeout=120)
        if found := re.search(r'<pre id="out">([^<]*)', done.stdout):
            break
    assert found, re.findall(r'id="state">([^<]*)', done.stdout)
    told = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert told["asked"] == []
    return list(told["out"])


def picture(name: str) -> Image.Image:
    sizes = {"own": (28, 28), "tall": (97, 61), "wide": (30, 80), "small": (9, 14)}
    height, width = sizes.get(name, (40, 50))
    values = np.random.default_rng(len(name)).integers(0, 256, (height, width, 4)).astype(np.uint8)
    return Image.fromarray(values).convert({"grey": "L", "clear": "RGBA"}.get(name, "RGB"))


@needs_a_browser
@pytest.mark.parametrize("net", ["LeNet", "CNN --model.net.batch_norm true"])
def test_pictures_of_any_size_and_kind(net: str, project: Project, tmp_path: Path) -> None:
    assert project(f"fit --trainer.max_epochs 1 {SHORT} --model.net {net}")[0] == 0
    code, _, err = project(f"export --ckpt_path run --to page --output page --runtime {RUNTIME}")
    assert code == 0, err
    page = tmp_path / "page/page.html"
    assert page.stat().st_size < 15e6
    names = ["own", "tall", "wide", "small", "grey", "clear"]
    files = {}
    for name in names:
        picture(name).save(f"{name}.png")
        files[f"{name}.png"] = base64.b64encode(Path(f"{name}.png").read_bytes()).decode()
    files["broken.png"] = base64.b64encode(b"no image").decode()
    *found, broken = asked(page, files)
    model = package.load("run")
    for name, got in zip(names, found, strict=True):
        said = model.predict(f"{name}.png", top=10)
        wanted = {said["prediction"]: said["probability"]}
        wanted |= {said[f"prediction {i}"]: said[f"probability {i}"] for i in range(2, 11)}
        assert got["values"] == pytest.approx(wanted, abs=1e-4), name
    assert broken["wrong"] and not broken["values"]


TABLE = (
    '"size, m",colour,gaps,extra,y\n',
    "1.5,red,3,x,a\n-2,green,,x,b\n3e1,red,1,x,b\n0,blue,NA,x,a\n",
)
ROWS = 'colour,gaps,"size, m",more\nred,3,1.5,0\nviolet,,-4.25,0\n"green",n/a,1e2,0\nblue,2,nan,0\n'


@needs_a_browser
@pytest.mark.parametrize(
    "task",
    [
        "",
        "--data.scale quantile",
        "--model Regression --data.target gaps --data.drop_unlabelled true",
    ],
    ids=["classes", "quantiles", "numbers"],
)
def test_rows_with_gaps_and_unseen_texts(task: str, project: Project, tmp_path: Path) -> None:
    numbers = "Regression" in task
    (tmp_path / "t.csv").write_text(TABLE[0] + TABLE[1] * 15)
    target = "" if numbers else "--data.target y"
    drop = "[extra,y]" if numbers else "[extra]"
    code, _, err = project(
        f"fit --data CSVTable --data.root . --data.file t.csv --model.net MLP {target} {task} "
        f"--data.drop {drop} --trainer.max_epochs 3 --data.target_type "
        f"{'number' if numbers else 'auto'} {SHORT}"
    )
    assert code == 0, err
    code, _, err = project(f"export --ckpt_path run --to page --output page --runtime {RUNTIME}")
    assert code == 0, err
    rows = ROWS.replace("nan", "0") if numbers else ROWS
    (tmp_path / "rows.csv").write_text(rows)
    *found, wrong = asked(tmp_path / "page/page.html", rows + "red,1,word,0\n")
    code, _, err = project("predict --ckpt_path run --input rows.csv --output said.jsonl")
    assert code == 0, err
    for line, got in zip(Path("said.jsonl").read_text().splitlines(), found, strict=True):
        said, values = json.loads(line), got["values"]
        if numbers:
            assert values["gaps"] == pytest.approx(said["gaps"], rel=1e-4)
        else:
            assert values[said["prediction"]] == pytest.approx(said["probability"], abs=1e-4)
    assert wrong["wrong"] == "size, m: word is no number"


MISTAKES = {
    "": "npm install onnxruntime-web, or --runtime FOLDER",
    "--runtime nowhere": "which is not in nowhere",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_page_without_its_runtime_is_one_line(words: str, project: Project) -> None:
    assert project(f"fit --data.size 16 --trainer.max_epochs 1 {SHORT}")[0] == 0
    code, _, err = project(f"export --ckpt_path run --to page --output page {words}")
    assert MISTAKES[words] in err and code == 2 and not Path("page").exists()
