using Fleet.Checking.History;
using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Explanation;

/// <summary>One step of a reference count over time.</summary>
/// <param name="At">The record that changed it.</param>
/// <param name="What">The change in words, such as <c>alloc #4</c>.</param>
/// <param name="Held">References of allocations in the mapping after it.</param>
/// <param name="Forbidden">The mapping's memory was gone while somebody held: no correct order has this.</param>
public sealed record ReferenceStep(Position At, string What, int Held, bool Forbidden);

/// <summary>A finding with everything that makes it convincing.</summary>
/// <param name="Finding">The finding as the checker reported it.</param>
/// <param name="KernelOrder">The kernel function and the order of steps that was broken.</param>
/// <param name="References">References held on the mapping concerned, over the device's own order; empty when it is
/// about none.</param>
/// <param name="Minimal">The fewest records that still prove it, in the order of judging; verified by checking them
/// again.</param>
/// <param name="Verified">The minimal records give the same rule, class and remedy when they are judged alone.</param>
public sealed record Explanation(
    Finding Finding, string KernelOrder, IReadOnlyList<ReferenceStep> References, IReadOnlyList<HistoryRecord> Minimal,
    bool Verified)
{
    /// <summary>What happened around it, in one order that the history permits.</summary>
    public required IReadOnlyList<WindowRow> Window { get; init; }

    /// <summary>Records of the device, its refs and page maps that were given.</summary>
    public long RecordCount { get; init; }

    /// <summary>Steps of the count that are left out of <see cref="References"/>, before the first and after the
    /// last.</summary>
    public (int Before, int After) ReferencesLeftOut { get; init; }

    /// <summary>The prose in its steps: what is given, what follows, and what happened in spite of it.</summary>
    public IReadOnlyList<(string Step, string Sentence)> Prose => ProseSteps.Of(
        Finding.Remedy is null ? Finding.Text
        : Finding.Text.Replace(" " + Remedies.Sentence(Finding.Remedy), "", StringComparison.Ordinal));
}

/// <summary>Explains a finding from the records of its device.</summary>
/// <remarks>
/// Minimising drops whole entities (all records of one allocation, one devres node, one life of a ref …), never one
/// record of an entity: without its free an allocation would look held. What is left is judged again, its missing
/// positions known to be dropped and not lost, and has to give the same rule on the same evidence.
/// </remarks>
public static class Explainer
{
    /// <summary>All records that stand or fall together.</summary>
    private readonly record struct Entity(string Kind, int Obj, int Gen, long Number);

    /// <summary>Steps of a count that are shown; the others are said to be left out.</summary>
    private const int StepsMax = 60;

    /// <summary>Records judged while minimising, after which the smallest proof found so far stands.</summary>
    private const long JudgedMax = 4_000_000;

    /// <param name="records">Every record of the finding's device, its refs and page maps, or what a
    /// <see cref="ExplainedRecords"/> kept of them; the order does not matter.</param>
    public static Explanation Explain(
        Finding finding, HistoryHeader header, IEnumerable<HistoryRecord> records, ObjectTable objects)
    {
        var kept = new ExplainedRecords(finding, objects);
        foreach (var record in records)
        {
            kept.Add(record);
        }

        return Explain(finding, header, kept, objects);
    }

    public static Explanation Explain(
        Finding finding, HistoryHeader header, ExplainedRecords records, ObjectTable objects)
    {
        ArgumentNullException.ThrowIfNull(finding);
        ArgumentNullException.ThrowIfNull(records);
        using var sorter = new HistorySorter(objects, int.MaxValue);
        foreach (var record in records.Kept)
        {
            sorter.Add(record);
        }

        var all = sorter.Sorted().ToList();
        var evidence = records.Evidence;
        var (minimal, verified) = Minimise(finding, header, Concerned(evidence, all), evidence, objects);
        var (references, leftOut) = Nearest(References(finding, minimal, all, objects));
        return new(finding, RuleCatalog.Find(finding.Rule)?.Source ?? "", references, minimal, verified)
        {
            Window = WindowRows.Of(all, minimal, evidence, records.Allocations),
            RecordCount = records.Count,
            ReferencesLeftOut = leftOut,
        };
    }

    /// <summary>Returns the records of the device that a finding is about.</summary>
    public static IEnumerable<HistoryRecord> OfDevice(
        Finding finding, IEnumerable<HistoryRecord> records, ObjectTable objects)
    {
        ArgumentNullException.ThrowIfNull(finding);
        var device = objects.DeviceOf(objects.Intern(finding.Object));
        return records.Where(r => r.At.IsNone
            ? (r.Operation.Device != 0 ? r.Operation.Device : r.Operation.Alloc.Device) == device
            : objects.DeviceOf(r.At.Obj) == device);
    }

    private static (List<HistoryRecord> Minimal, bool Verified) Minimise(
        Finding finding, HistoryHeader header, List<HistoryRecord> records, HashSet<Position> evidence,
        ObjectTable objects)
    {
        if (!Proves(finding, header, records, evidence, objects))
        {
            return (records.FindAll(r => evidence.Contains(r.At)), false);
        }

        // Delta debugging over entities: drop as much as possible at once, then less, until no single one can go.
        var entities = records.Select(EntityOf).Distinct()
            .OrderBy(e => records.Exists(r => EntityOf(r) == e && evidence.Contains(r.At))).ToList();
        var judged = 0L;
        for (var parts = 2; entities.Count > 1 && judged < JudgedMax;)
        {
            var size = (entities.Count + parts - 1) / parts;
            List<Entity>? smaller = null;
            for (var from = 0; from < entities.Count && smaller is null && judged < JudgedMax; from += size)
            {
                var kept = entities.Take(from).Concat(entities.Skip(from + size)).ToHashSet();
                var rest = records.FindAll(r => kept.Contains(EntityOf(r)));
                judged += rest.Count + 1;
                if (Proves(finding, header, rest, evidence, objects))
                {
                    smaller = entities.FindAll(kept.Contains);
                    records = rest;
                }
            }

            if (smaller is not null)
            {
                (entities, parts) = (smaller, Math.Max(2, Math.Min(parts - 1, smaller.Count)));
            }
            else if (size == 1)
            {
                break;
            }
            else
            {
                parts = Math.Min(entities.Count, parts * 2);
            }
        }

        return (records, true);
    }

    private static bool Proves(
        Finding finding, HistoryHeader header, List<HistoryRecord> records, HashSet<Position> evidence,
        ObjectTable objects)
    {
        var checker = new HistoryChecker(
            header with { SortedByObject = true, Complete = true }, objects, [], onFinding: null, excerpt: true);
        foreach (var record in records)
        {
            checker.Add(record);
        }

        return checker.Finish().Findings.Any(
            f => f.Signature == finding.Signature && ExplainedRecords.EvidenceOf(f, objects).SetEquals(evidence));
    }

    /// <summary>
    /// What belongs to the lives of the evidence: the driver's own doings, and those allocations that are evidence.
    /// </summary>
    private static List<HistoryRecord> Concerned(HashSet<Position> evidence, List<HistoryRecord> all)
    {
        var lives = evidence.Select(e => e.Life).ToHashSet();
        var entities = all.Where(r => evidence.Contains(r.At)).Select(EntityOf).ToHashSet();
        return all.FindAll(r => entities.Contains(EntityOf(r))
            || (r.Event is { } e && e.Kind is not EventKind.Reap && (lives.Count == 0 || lives.Contains(e.At.Life))));
    }

    private static Entity EntityOf(HistoryRecord record)
    {
        if (record.Event is not { } e)
        {
            var op = record.Operation;
            // What was read or written holds nothing; but what was written says which tag is expected.
            return op.Alloc.IsNone || (op.Kind is OperationKind.Access && op.Direction is not AccessDirection.Write)
                ? new("operation", op.Device, 0, op.Number)
                : new("allocation", op.Alloc.Device, op.Alloc.Gen, op.Alloc.Number);
        }

        var at = e.At;
        return e.Kind switch
        {
            EventKind.Reap => new("allocation", e.Alloc.Device, e.Alloc.Gen, e.Alloc.Number),
            EventKind.DevresAdd or EventKind.DevresRun or EventKind.DevresRemove or EventKind.DevresFree =>
                new("node", at.Obj, at.Gen, ((long)at.Life << 32) + e.Node),
            EventKind.ObjAlloc or EventKind.ObjFree => new("object", e.Other, 0, 0),
            EventKind.ChunkAdd or EventKind.TeardownBegin or EventKind.TeardownEnd =>
                new("mapping", at.Obj, at.Gen, unchecked((long)e.Start) ^ at.Life),
            EventKind.WaitBegin or EventKind.WaitEnd or EventKind.Complete => new("wait", at.Obj, at.Gen, at.Life),
            EventKind.PageGet or EventKind.PagePut or EventKind.PageFinalPut or EventKind.PageIdle
                or EventKind.PageBackptrRead or EventKind.MapLookup =>
                new("page", at.Obj, at.Gen, unchecked((long)e.Pfn)),
            EventKind.PoolCreate or EventKind.PoolDestroy => new("pool", at.Obj, at.Gen, at.Life),
            EventKind.FieldSet or EventKind.FieldClear or EventKind.FieldRead => new("field", at.Obj, at.Gen, at.Life),
            EventKind.AddResourceBegin or EventKind.AddResourceEnd => new("add_resource", at.Obj, at.Gen, at.Life),
            EventKind.Oops or EventKind.Bug or EventKind.Warn or EventKind.Hang or EventKind.HangDetected
                or EventKind.Inject
                or EventKind.Incarnation => new("one", at.Obj, at.Gen, at.Seq),
            _ => new("life", at.Obj, at.Gen, at.Life),
        };
    }

    /// <summary>
    /// Counts allocations in the mapping of the finding over the device's order, from its first holder to its last.
    /// </summary>
    private static List<ReferenceStep> References(
        Finding finding, List<HistoryRecord> minimal, List<HistoryRecord> all, ObjectTable objects)
    {
        var device = objects.DeviceOf(objects.Intern(finding.Object));
        var teardown = minimal.Select(r => r.Event)
            .FirstOrDefault(e => e?.Kind is EventKind.TeardownBegin or EventKind.TeardownEnd);
        if (teardown is null)
        {
            // A finding at a page map: the teardown of the same life at the device says the range.
            var map = objects.Intern(finding.Object);
            var lives = minimal.Select(r => r.At.Life).ToHashSet();
            teardown = all.Select(r => r.Event).FirstOrDefault(e =>
                e?.Kind is EventKind.TeardownBegin && (e.Other == map || e.At.Obj == map) && lives.Contains(e.At.Life));
        }

        if (teardown is null)
        {
            return [];
        }

        bool In(ulong address) => address >= teardown.Start && address - teardown.Start < teardown.SizeBytes;

        var steps = new List<ReferenceStep>();
        var live = new HashSet<AllocId>();
        var removed = false;
        foreach (var record in all.Where(
            r => r.At.Obj == device && r.At.Gen == teardown.At.Gen && r.At.Life == teardown.At.Life))
        {
            string? what = null;
            if (record.Event is { } e)
            {
                switch (e.Kind)
                {
                    case EventKind.TeardownBegin when In(e.Start): what = "teardown begins"; break;
                    case EventKind.TeardownEnd when In(e.Start):
                        removed = true;
                        what = "memory is gone";
                        break;
                    case EventKind.Reap when live.Remove(e.Alloc): what = $"reap #{e.Alloc.Number}"; break;
                    case EventKind.ChunkAdd when In(e.Start):
                        removed = false;
                        what = "mapping published";
                        break;
                    default: break;
                }
            }
            else if (record.Operation is { Outcome: OperationOutcome.Ok } op)
            {
                what = op.Kind switch
                {
                    OperationKind.Alloc when In(op.Address) && live.Add(op.Alloc) =>
                        $"alloc #{op.Alloc.Number}",
                    OperationKind.Free when live.Remove(op.Alloc) => $"free #{op.Alloc.Number}",
                    _ => null,
                };
            }

            if (what is not null)
            {
                steps.Add(new(record.At, what, live.Count, removed && live.Count > 0));
            }
        }

        return steps;
    }

    /// <summary>The steps around the first forbidden one, or the last steps when none is.</summary>
    private static (List<ReferenceStep> Steps, (int Before, int After) LeftOut) Nearest(List<ReferenceStep> steps)
    {
        if (steps.Count <= StepsMax)
        {
            return (steps, (0, 0));
        }

        var middle = steps.FindIndex(s => s.Forbidden);
        var first = Math.Clamp((middle < 0 ? steps.Count : middle) - (StepsMax / 2), 0, steps.Count - StepsMax);
        return (steps.GetRange(first, StepsMax), (first, steps.Count - first - StepsMax));
    }
}
