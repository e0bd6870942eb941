using Fleet.Checking.History;
using Fleet.Kernel.History;

namespace Fleet.Checking.Explanation;

/// <summary>One row of what happened around a finding.</summary>
/// <param name="Record">What happened.</param>
/// <param name="IsEvidence">The finding names it.</param>
/// <param name="IsMinimal">The smallest proof needs it.</param>
/// <param name="After">Earlier rows, by index, that its <c>after</c> names.</param>
/// <param name="Skipped">Records of the same lives left out between the row before and this one.</param>
public sealed record WindowRow(
    HistoryRecord Record, bool IsEvidence, bool IsMinimal, IReadOnlyList<int> After, long Skipped);

/// <summary>Chooses the records that show a finding, and puts them into one order that the history permits.</summary>
internal static class WindowRows
{
    private const int RowsMax = 72;

    /// <summary>Faults of one kind that are shown beyond the evidence; a device that is dead dies at every
    /// touch.</summary>
    private const int AlikeMax = 4;

    private const int FaultRank = 2;

    public static IReadOnlyList<WindowRow> Of(
        List<HistoryRecord> all, IReadOnlyList<HistoryRecord> minimal, HashSet<Position> evidence,
        HashSet<AllocId> allocations)
    {
        var inMinimal = minimal.Select(r => r.At).ToHashSet();
        var alike = new Dictionary<EventKind, int>();
        int Rank(HistoryRecord record)
        {
            var rank = RankOf(record, inMinimal, evidence, allocations);
            if (rank != FaultRank)
            {
                return rank;
            }

            var before = alike.GetValueOrDefault(record.Event!.Kind);
            alike[record.Event.Kind] = before + 1;
            return before >= AlikeMax ? int.MaxValue : rank;
        }

        var chosen = all
            .Select((record, place) => (Record: record, Place: place, Rank: Rank(record)))
            .Where(c => c.Rank < int.MaxValue)
            .OrderBy(c => c.Rank)
            .Take(RowsMax)
            .OrderBy(c => c.Place)
            .Select(c => c.Record)
            .ToList();
        var order = Ordered(chosen);
        var rows = new List<WindowRow>(chosen.Count);
        var rowOf = new int[chosen.Count];
        for (var row = 0; row < order.Count; row++)
        {
            rowOf[order[row]] = row;
        }

        for (var row = 0; row < order.Count; row++)
        {
            var record = chosen[order[row]];
            var after = record.Event is { } e
                ? e.After.Select(a => LastAtOrBefore(chosen, a)).Where(i => i >= 0).Select(i => rowOf[i]).Distinct()
                    .Where(i => i < row).ToList()
                : [];
            rows.Add(new(record, evidence.Contains(record.At), inMinimal.Contains(record.At), after, 0));
        }

        return Counted(rows, all);
    }

    private static int RankOf(
        HistoryRecord record, HashSet<Position> inMinimal, HashSet<Position> evidence, HashSet<AllocId> allocations)
    {
        if (evidence.Contains(record.At))
        {
            return 0;
        }

        if (record.Event is not { } e)
        {
            return inMinimal.Contains(record.At) ? 1
                : allocations.Contains(record.Operation.Alloc) ? record.Operation.Kind is OperationKind.Access ? 6 : 1
                : int.MaxValue;
        }

        return e.Kind switch
        {
            EventKind.Oops or EventKind.Bug or EventKind.Hang or EventKind.Inject or EventKind.Fenced => FaultRank,
            EventKind.UnbindBegin or EventKind.UnbindEnd or EventKind.TeardownBegin or EventKind.TeardownEnd
                or EventKind.RefKill or EventKind.SwitchDone or EventKind.RefZero or EventKind.MemoryRemove
                or EventKind.RefExit or EventKind.Reap or EventKind.WaitBegin or EventKind.WaitEnd => 3,
            _ when inMinimal.Contains(record.At) => 4,
            EventKind.Incarnation or EventKind.MemoryAdd or EventKind.RefInit or EventKind.ChunkAdd
                or EventKind.BindBegin or EventKind.BindEnd or EventKind.FieldClear or EventKind.PoolDestroy
                or EventKind.ObjFree or EventKind.MapErase or EventKind.Warn => 5,
            _ => 7,
        };
    }

    /// <summary>
    /// Puts one object's records by seq, causes before what names them, and else by time; what would need a circle is
    /// put where its time says.
    /// </summary>
    private static List<int> Ordered(List<HistoryRecord> records)
    {
        var waitsFor = new int[records.Count];
        var next = new List<int>[records.Count];
        for (var i = 0; i < records.Count; i++)
        {
            next[i] = [];
        }

        void Edge(int before, int after)
        {
            next[before].Add(after);
            waitsFor[after]++;
        }

        var last = new Dictionary<int, int>();
        for (var i = 0; i < records.Count; i++)
        {
            if (!records[i].At.IsNone)
            {
                if (last.TryGetValue(records[i].At.Obj, out var before))
                {
                    Edge(before, i);
                }

                last[records[i].At.Obj] = i;
            }

            foreach (var position in records[i].Event?.After ?? [])
            {
                if (LastAtOrBefore(records, position) is var cause and >= 0 && cause != i)
                {
                    Edge(cause, i);
                }
            }
        }

        var ready = new PriorityQueue<int, (long, int)>();
        var done = new bool[records.Count];
        for (var i = 0; i < records.Count; i++)
        {
            if (waitsFor[i] == 0)
            {
                ready.Enqueue(i, (TimeOf(records[i]), i));
            }
        }

        var order = new List<int>(records.Count);
        while (order.Count < records.Count)
        {
            if (!ready.TryDequeue(out var i, out _))
            {
                i = Enumerable.Range(0, records.Count).Where(r => !done[r]).MinBy(r => TimeOf(records[r]));
            }

            if (done[i])
            {
                continue;
            }

            done[i] = true;
            order.Add(i);
            foreach (var follower in next[i])
            {
                if (--waitsFor[follower] == 0)
                {
                    ready.Enqueue(follower, (TimeOf(records[follower]), follower));
                }
            }
        }

        return order;
    }

    private static long TimeOf(HistoryRecord record) =>
        record.Event?.TimeNs ?? (record.Operation.SentNs / 2) + (record.Operation.DoneNs / 2);

    private static int LastAtOrBefore(List<HistoryRecord> records, Position position)
    {
        var found = -1;
        for (var i = 0; i < records.Count; i++)
        {
            var at = records[i].At;
            if (at.Obj == position.Obj && at.Gen == position.Gen && at.Seq <= position.Seq
                && (found < 0 || at.Seq > records[found].At.Seq))
            {
                found = i;
            }
        }

        return found;
    }

    /// <summary>Says how many positions of each object lie between a row and the one before it there.</summary>
    private static List<WindowRow> Counted(List<WindowRow> rows, List<HistoryRecord> all)
    {
        var seqs = all.Where(r => !r.At.IsNone).GroupBy(r => (r.At.Obj, r.At.Gen))
            .ToDictionary(g => g.Key, g => g.Select(r => r.At.Seq).Order().ToArray());
        var last = new Dictionary<(int, int), long>();
        for (var i = 0; i < rows.Count; i++)
        {
            var at = rows[i].Record.At;
            if (at.IsNone)
            {
                continue;
            }

            var before = last.GetValueOrDefault((at.Obj, at.Gen), long.MinValue);
            var skipped = seqs[(at.Obj, at.Gen)].LongCount(seq => seq > before && seq < at.Seq);
            rows[i] = rows[i] with { Skipped = skipped };
            last[(at.Obj, at.Gen)] = at.Seq;
        }

        return rows;
    }
}
