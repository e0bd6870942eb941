using System.Globalization;
using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Checking.Rules;
using Fleet.Client.Html;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Client.Commands;

/// <summary>An explanation as one page: prose, lanes, the count of references, the proof.</summary>
public static class ExplanationPage
{
    private const int RecordsMax = 60;
    private const int LineMax = 1500;

    /// <summary>Fewer records than this are not worth a row that says so.</summary>
    private const int SkippedShownMin = 4;

    private enum Lane { Client, Device, Resource, PageMap, Silo, Fault }

    public static HtmlPage Of(ExplainedFinding explained)
    {
        var explanation = explained.Explanation;
        var finding = explanation.Finding;
        var rule = RuleCatalog.Find(finding.Rule);
        var page = new HtmlPage($"{finding.Rule} · {explained.Name}")
            .Head(
                finding.Rule, ReportView.WordOf(finding.Class),
                finding.Class is FindingClass.Client or FindingClass.Infrastructure ? "warn" : "bad",
                rule?.Claim ?? "")
            .Proof(explanation.Prose)
            .Facts(
            [
                ("finding", explained.Name),
                .. explained.Facts,
                ("at", finding.Object),
                ("invariant", rule is { Number: > 0 } ? $"I{rule.Number} of the kernel model" : "of Fleet's own"),
                ("kernel code", explanation.KernelOrder),
                ("remedy", ExplanationView.RemedyOf(explanation)),
            ]);
        if (explanation.References.Count > 0)
        {
            var (before, after) = explanation.ReferencesLeftOut;
            page.Heading("References held over time")
                .Paragraph(
                    "Allocations of the mapping that were not given back, step by step in the device's own order. "
                    + "Where it is shaded the memory was gone while somebody held it."
                    + (before + after == 0 ? "" : string.Create(
                        CultureInfo.InvariantCulture,
                        $" {before:N0} earlier and {after:N0} later steps are not drawn.")),
                    isSoft: true)
                .Drawing(new StepChart(
                    "allocations held",
                    [
                        .. explanation.References.Select(
                            s => ($"{s.What} · seq {s.At.Seq}", (long)s.Held, s.Forbidden)),
                    ]));
        }

        page.Heading("What happened where")
            .Paragraph(
                "From top to bottom in one order that the record permits. Red marks are the records that the proof "
                + "names; arrows lead from who asked, dashed lines from what an event came after. The number at the "
                + "left is the position in the object's own order; the distance of two rows says nothing about time.",
                isSoft: true)
            .Drawing(LanesOf(explained))
            .Paragraph(string.Create(
                CultureInfo.InvariantCulture,
                $"{explanation.Window.Count:N0} of the {explanation.RecordCount:N0} records of this device are shown."),
                isSoft: true);
        page.Heading("The proof");
        page.Paragraph(ExplanationView.HeadOf(explanation));
        var table = new HtmlTable("object", "seq#", "what", "details");
        foreach (var record in explanation.Minimal.Take(RecordsMax))
        {
            table.Row(
                [
                    record.At.IsNone ? "-" : explained.Objects.Name(record.At.Obj),
                    record.At.IsNone ? "-" : record.At.Seq.ToString(CultureInfo.InvariantCulture),
                    LabelOf(record),
                    DetailsOf(record, explained.Objects),
                ],
                explanation.Window.Any(row => row.IsEvidence && row.Record.At == record.At && !record.At.IsNone));
        }

        page.Table(table);
        if (explanation.Minimal.Count > RecordsMax)
        {
            page.Paragraph($"… and {explanation.Minimal.Count - RecordsMax:N0} more.", isSoft: true);
        }

        return page.Folded(
            "The same records as they are stored",
            explanation.Minimal.Take(RecordsMax).Select(record => Cut(ExplanationView.LineOf(record, explained))));
    }

    private static string Cut(string line) => line.Length > LineMax ? line[..LineMax] + "…" : line;

    private static LaneChart LanesOf(ExplainedFinding explained)
    {
        var rows = explained.Explanation.Window;
        var used = rows.Select(row => LaneOf(row.Record, explained.Objects)).ToHashSet();
        if (rows.Any(row => row.Record.Event is null))
        {
            used.Add(Lane.Client);
        }

        var lanes = Enum.GetValues<Lane>().Where(used.Contains).ToList();
        var severalObjects = lanes.ToDictionary(
            lane => lane,
            lane => rows.Where(row => LaneOf(row.Record, explained.Objects) == lane)
                .Select(row => row.Record.At.Obj).Distinct().Count() > 1);
        var marks = new List<LaneMark>();
        var rowOf = new int[rows.Count];
        for (var i = 0; i < rows.Count; i++)
        {
            var row = rows[i];
            if (row.Skipped >= SkippedShownMin)
            {
                marks.Add(new(
                    -1, -1,
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"… {row.Skipped:N0} other records of {explained.Objects.Name(row.Record.At.Obj)}"),
                    "", ""));
            }

            var lane = LaneOf(row.Record, explained.Objects);
            var place = row.Record.At.IsNone ? "no position" : explained.Objects.Name(row.Record.At.Obj);
            var label = LabelOf(row.Record);
            if (lane is Lane.Resource or Lane.PageMap && severalObjects[lane])
            {
                label = $"{place[(place.LastIndexOf('/') + 1)..]}: {label}";
            }

            rowOf[i] = marks.Count;
            marks.Add(new(
                lanes.IndexOf(lane),
                row.Record.Event is null ? lanes.IndexOf(Lane.Client) : -1,
                label,
                $"{place} seq {row.Record.At.Seq}: {DetailsOf(row.Record, explained.Objects)}",
                row.Record.At.IsNone ? "" : row.Record.At.Seq.ToString(CultureInfo.InvariantCulture))
            {
                IsHit = row.IsEvidence,
                After = [.. row.After.Select(cause => rowOf[cause])],
            });
        }

        return new([.. lanes.Select(lane => TitleOf(lane, rows, explained.Objects))], marks)
        {
            Forbidden = ForbiddenOf(rows, rowOf),
        };
    }

    /// <summary>The rows between the one that took something away and the last that used it all the same.</summary>
    private static (int First, int Last, string Label)? ForbiddenOf(IReadOnlyList<WindowRow> rows, int[] rowOf)
    {
        var hits = Enumerable.Range(0, rows.Count).Where(i => rows[i].IsEvidence).ToList();
        var gone = hits.FindLastIndex(i => rows[i].Record.Event?.Kind
            is EventKind.MemoryRemove or EventKind.TeardownEnd or EventKind.ObjFree or EventKind.FieldClear
            or EventKind.RefZero or EventKind.RefExit or EventKind.RefKill);
        if (hits.Count < 2 || gone < 0)
        {
            return null;
        }

        var first = hits[gone];
        var last = hits[^1] > first ? hits[^1] : Math.Min(first + 1, rows.Count - 1);
        return (rowOf[first], rowOf[last], "no correct order has this");
    }

    private static Lane LaneOf(in HistoryRecord record, ObjectTable objects)
    {
        if (record.Event is not { } e)
        {
            return record.Operation.At.IsNone ? Lane.Client
                : record.Operation.Kind is OperationKind.Access ? Lane.PageMap : Lane.Device;
        }

        return e.Kind switch
        {
            EventKind.Incarnation or EventKind.Fenced => Lane.Silo,
            EventKind.Inject => Lane.Fault,
            _ when e.Actor is "fault" => Lane.Fault,
            _ => objects.Kind(e.At.Obj) switch
            {
                ObjectKind.Ref => Lane.Resource,
                ObjectKind.Map => Lane.PageMap,
                _ => Lane.Device,
            },
        };
    }

    private static string TitleOf(Lane lane, IReadOnlyList<WindowRow> rows, ObjectTable objects)
    {
        var names = rows
            .Where(row => lane is Lane.Client ? row.Record.Event is null : LaneOf(row.Record, objects) == lane)
            .Select(row => lane is Lane.Client ? row.Record.Operation.Client : row.Record.At.Obj)
            .Where(id => id != 0).Distinct().Select(objects.Name).ToList();
        var word = lane switch
        {
            Lane.Client => "client",
            Lane.Device => "device",
            Lane.Resource => "resource",
            Lane.PageMap => "page map",
            Lane.Silo => "silo",
            _ => "fault",
        };
        if (lane is Lane.Silo or Lane.Fault || names.Count == 0)
        {
            return word;
        }

        if (names.Count > 1)
        {
            return $"{word} ({names.Count})";
        }

        // A device is told by its host too; of the others the device stands beside them.
        var cut = lane is Lane.Device
            ? names[0].IndexOf(':', StringComparison.Ordinal)
            : names[0].LastIndexOfAny(['/', ':']);
        return $"{word} {names[0][(cut + 1)..]}";
    }

    private static string LabelOf(in HistoryRecord record)
    {
        if (record.Event is { } e)
        {
            var name = EventKinds.WireName(e.Kind);
            return e.Kind switch
            {
                EventKind.Oops or EventKind.Bug or EventKind.Warn or EventKind.Hang => $"{name}: {e.Text ?? e.Fn}",
                EventKind.DevresRun or EventKind.DevresAdd or EventKind.DevresRemove => $"{name} {e.Fn}",
                EventKind.Incarnation => $"{e.Fn ?? name} {e.At.Gen} on {e.Text}",
                EventKind.ObjAlloc or EventKind.ObjFree => $"{name} {e.Text}",
                EventKind.Reap => $"reap #{e.Alloc.Number}",
                _ => e.Err is Errno.OK ? name : $"{name} {e.Err}",
            };
        }

        var op = record.Operation;
        var what = op.Kind switch
        {
            OperationKind.Access => op.Direction is AccessDirection.Write ? "write" : "read",
            _ => op.Kind.ToString().ToLowerInvariant(),
        };
        var alloc = op.Alloc.IsNone ? "" : $" #{op.Alloc.Number}";
        return op.Outcome switch
        {
            OperationOutcome.Ok => $"{what}{alloc}",
            OperationOutcome.Fail => $"{what}{alloc} {op.Err}",
            _ => $"{what}{alloc}, no answer",
        };
    }

    private static string DetailsOf(in HistoryRecord record, ObjectTable objects)
    {
        var parts = new List<string>();
        void Add(string name, string? value)
        {
            if (!string.IsNullOrEmpty(value))
            {
                parts.Add($"{name} {value}");
            }
        }

        if (record.Event is { } e)
        {
            Add("by", e.Actor);
            Add("", e.Other == 0 ? null : objects.Name(e.Other));
            Add("at", e.Start == 0 ? null : $"0x{e.Start:x}");
            Add("page", e.Pfn == 0 ? null : $"0x{e.Pfn:x}");
            Add("", e.SizeBytes == 0 ? null : $"{e.SizeBytes:N0} bytes");
            Add("count", e.Count == 0 ? null : e.Count.ToString(CultureInfo.InvariantCulture));
            Add("in", e.Fn);
            Add("life", e.At.Life == 0 ? null : e.At.Life.ToString(CultureInfo.InvariantCulture));
            return string.Join(", ", parts).Trim();
        }

        var op = record.Operation;
        Add("operation", op.Number.ToString(CultureInfo.InvariantCulture));
        Add("of", op.Client == 0 ? null : objects.Name(op.Client));
        Add("at", op.Address == 0 ? null : $"0x{op.Address:x}");
        Add("page", op.Pfn == 0 ? null : $"0x{op.Pfn:x}");
        Add("", op.SizeBytes == 0 ? null : $"{op.SizeBytes:N0} bytes");
        Add("owner", op.Owner == 0 ? null : objects.Name(op.Owner));
        Add("via", op.Via is AccessVia.None ? null : op.Via.ToString().ToUpperInvariant());
        Add("sent", op.SentNs == 0 ? null : $"{op.SentNs:N0} ns");
        Add("done", op.DoneNs == 0 ? null : $"{op.DoneNs:N0} ns");
        return string.Join(", ", parts).Replace("  ", " ", StringComparison.Ordinal).Trim();
    }
}
