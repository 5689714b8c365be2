"""Ratios as bars, in SVG."""
from html import escape

ROW, LEFT, WIDTH, RIGHT, TOP = 22, 330, 420, 70, 54


def svg(title, rows):
    """rows: (label, ratio, bar or None). Longer is better for atom; the line at 1 is the rival, a tick is the bar to hold."""
    longest = max([1.2] + [max(ratio, bar or 0) for _, ratio, bar in rows]) * 1.03
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100) if longest / s <= 9 or s == 100)
    x = lambda ratio: LEFT + WIDTH * ratio / longest
    bottom = TOP + ROW * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{bottom + 30}" '
           'font-family="sans-serif" font-size="12" fill="#222">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="12" y="22" font-size="15">{escape(title)}</text>']
    tick = 0.0
    while tick <= longest:
        out.append(f'<path d="M{x(tick):.1f} {TOP - 6}V{bottom}" stroke="#ddd"/>'
                   f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
        tick += step
    for i, (label, ratio, bar) in enumerate(rows):
        y = TOP + ROW * i
        colour = "#b3543f" if ratio < (bar or 1) else "#3f78b3"
        out.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
                   f'<rect x="{LEFT}" y="{y + 3}" width="{x(ratio) - LEFT:.1f}" height="{ROW - 8}" fill="{colour}"/>'
                   f'<text x="{x(ratio) + 6:.1f}" y="{y + 14}">{ratio:.2f}</text>')
        if bar:
            out.append(f'<path d="M{x(bar):.1f} {y}V{y + ROW - 2}" stroke="#222" stroke-width="2"/>')
    out.append(f'<path d="M{x(1):.1f} {TOP - 6}V{bottom}" stroke="#222" stroke-dasharray="4 3"/></svg>')
    return "\n".join(out) + "\n"
