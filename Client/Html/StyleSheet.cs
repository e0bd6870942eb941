namespace Fleet.Client.Html;

/// <summary>
/// The one style sheet of Fleet's pages: light and dark, screen and paper, no web font and no picture.
/// </summary>
public static class StyleSheet
{
    public const string Css = """
        :root{color-scheme:light dark;--bg:#fbfbf9;--card:#fff;--ink:#1d2126;--soft:#5d6670;--line:#dfe2e4;
        --faint:#eef0f0;--blue:#2563a8;--red:#b3261e;--redbg:#fdecea;--green:#1e7b45;--amber:#8f5b00;--violet:#6b4aa5;
        --teal:#0c7377;--grey:#7a838c}
        @media (prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1b1f23;--ink:#e4e7ea;--soft:#9aa4ae;
        --line:#30363c;--faint:#23282d;--blue:#7fb2ec;--red:#ff8a80;--redbg:#3a1d1c;--green:#6fd29a;--amber:#e3b15c;
        --violet:#bb9df0;--teal:#5fc9cd;--grey:#8b949e}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--bg);color:var(--ink);
        font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
        main{max-width:1120px;margin:0 auto;padding:32px 24px 64px}
        h1{font-size:26px;line-height:1.25;margin:0 0 6px;letter-spacing:-.01em}
        h2{font-size:18px;margin:36px 0 10px}
        p{margin:0 0 12px;max-width:78ch}
        .lead{font-size:16px}.soft{color:var(--soft)}
        code,.mono,td.mono,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:12.5px}
        .pill{display:inline-block;border:1px solid currentColor;border-radius:999px;padding:1px 10px;font-size:12.5px;
        font-weight:600;margin-right:8px;vertical-align:3px}
        .bad{color:var(--red)}.good{color:var(--green)}.warn{color:var(--amber)}
        .card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:14px 0;
        overflow-x:auto}
        .proof{border-left:4px solid var(--red)}
        .proof p:last-child{margin:0}
        .step{display:inline;font-weight:650}
        dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:0}
        dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;overflow-wrap:anywhere}
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:14px 0}
        .tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
        .tile b{display:block;font-size:22px;font-weight:650;letter-spacing:-.01em}
        .tile span{color:var(--soft);font-size:13px}
        table{border-collapse:collapse;width:100%;font-size:13.5px}
        th{text-align:left;color:var(--soft);font-weight:600;border-bottom:1px solid var(--line);padding:6px 12px 6px 0}
        td{border-bottom:1px solid var(--faint);padding:6px 12px 6px 0;vertical-align:top;overflow-wrap:anywhere}
        th.num,td.num{text-align:right;font-variant-numeric:tabular-nums}
        tr.hit td{background:var(--redbg)}
        details{margin:10px 0}summary{cursor:pointer;color:var(--blue)}
        pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0}
        footer{margin-top:48px;color:var(--soft);font-size:13px;border-top:1px solid var(--line);padding-top:12px}
        svg{display:block;max-width:100%;height:auto}
        svg text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
        svg .lane{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
        svg .s{fill:var(--soft)}svg .b{font-weight:650}svg .e{text-anchor:end}svg .m{text-anchor:middle}
        svg .rail{stroke:var(--line);stroke-width:1}
        svg .edge{stroke:var(--grey);stroke-opacity:.55;stroke-width:1.1;fill:none;stroke-dasharray:3 3}
        svg .call{stroke:var(--blue);stroke-width:1.3;fill:none}
        svg .no{fill:var(--redbg)}svg .noline{stroke:var(--red);stroke-width:1.5}svg .nt{fill:var(--red)}
        svg .grid{stroke:var(--faint);stroke-width:1}svg .axis{stroke:var(--line);stroke-width:1}
        svg .line{stroke:var(--blue);stroke-width:2;fill:none}svg .area{fill:var(--blue);opacity:.1}
        svg .k0{fill:var(--blue)}svg .k1{fill:var(--violet)}svg .k2{fill:var(--teal)}svg .k3{fill:var(--green)}
        svg .l0{stroke:var(--blue)}svg .l1{stroke:var(--violet)}svg .l2{stroke:var(--teal)}
        svg .l3{stroke:var(--green)}svg .l4{stroke:var(--grey)}svg .l5{stroke:var(--amber)}svg .l6{stroke:var(--red)}
        svg .series{stroke-width:1.8;fill:none;stroke-linejoin:round}svg .dashed{stroke-dasharray:5 4}
        svg .k6{fill:var(--red)}svg .hover{fill:transparent}svg .hover:hover{fill:var(--ink);opacity:.08}
        svg .mark{stroke:var(--amber);stroke-width:1;stroke-dasharray:2 3;opacity:.8}
        svg .band{fill:var(--faint);opacity:.6}
        svg .k4{fill:var(--grey)}svg .k5{fill:var(--amber)}svg .hit{fill:var(--red)}
        @media print{body{background:#fff}.card,.tile{break-inside:avoid}}
        """;
}
