"""The page's own HTML: its style, tables, pictures, and what it says of what is not there."""

import base64
import html

import matplotlib.pyplot as plt
import pandas as pd

from smp.present import cell, png

STYLE = """
:root{--ink:#1f2933;--quiet:#616e7c;--line:#e4e7eb;--accent:#0b6e4f;--paper:#fff}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1100px;padding:1rem;font:16px/1.55 system-ui,sans-serif}
body{color:var(--ink);background:var(--paper)}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:2px solid var(--accent)}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
p{max-width:70ch;margin:.5rem 0;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.2rem .9rem;font-size:.9rem}
a{color:var(--accent)}
code{background:#f1f4f6;padding:.1em .3em;border-radius:3px;font-size:.88em;overflow-wrap:anywhere}
.banner{background:#fff4d6;border-left:4px solid #d9a21b;padding:.5rem .8rem}
.missing{color:var(--quiet);border-left:4px solid var(--line);padding:.2rem .8rem}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.85rem;margin:.5rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{background:#f5f7fa;position:sticky;top:0}
td.text,th.text{text-align:left}
td.long{white-space:normal;min-width:15rem}
tr.best td{font-weight:700}
.yes{color:#0b6e4f;font-weight:700}.no{color:#b83b25;font-weight:700}
.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;margin:.8rem 0}
.numbers div{border:1px solid var(--line);border-radius:6px;padding:.5rem .7rem}
.numbers b{display:block;font-size:1.25rem}
.numbers span{color:var(--quiet);font-size:.82rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:1rem}
figure{margin:.6rem 0;min-width:0;max-width:560px}
figure img{width:100%;height:auto;display:block}
figure.wide{max-width:none}
figure.wide img{min-width:720px}
figcaption{color:var(--quiet);font-size:.85rem}
@media(max-width:600px){
.claims tr:first-child{display:none}
.claims td{display:block;border:0;padding:.1rem .3rem}
.claims tr{display:block;border-bottom:1px solid var(--line);padding:.5rem 0}
}
"""


def missing(what: str, command: str) -> str:
    return f'<p class="missing">{html.escape(what)}: not there yet, <code>{html.escape(command)}</code> makes it.</p>'


def html_table(table: pd.DataFrame, bold: pd.Series | None = None) -> str:
    """A table that scrolls inside itself where it is wider than the screen."""
    kinds = ["" if pd.api.types.is_numeric_dtype(t) else "text" for t in table.dtypes]
    names = [html.escape(str(c).replace("_", " ")) for c in table.columns]
    head = "".join(f'<th class="{k}">{name}</th>' for k, name in zip(kinds, names))
    lines = []
    for i, row in enumerate(table.itertuples(index=False)):
        cells = "".join(f'<td class="{k}">{html.escape(cell(v))}</td>' for k, v in zip(kinds, row))
        lines.append(f'<tr class="{"best" if bold is not None and bold.iloc[i] else ""}">{cells}</tr>')
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def pictures(drawn: list[tuple[plt.Figure, str]], wide: bool = False) -> str:
    return '<div class="pictures">' + "".join(picture(png(f), text, wide) for f, text in drawn) + "</div>"


def picture(content: bytes, caption: str, wide: bool = False) -> str:
    """An inline picture; a wide one keeps a readable size and scrolls inside its own box on a phone."""
    encoded, text = base64.b64encode(content).decode(), html.escape(caption)
    image = f'<img src="data:image/png;base64,{encoded}" alt="{text}">'
    kind = "wide" if wide else ""
    return f'<figure class="{kind}"><div class="scroll">{image}</div><figcaption>{text}</figcaption></figure>'
