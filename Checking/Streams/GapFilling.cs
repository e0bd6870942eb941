using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>Which unanswered operations took the positions that no record claims?</summary>
/// <remarks>
/// Each position of a gap was taken by one operation. A free that has to lie before a position is a unit job with a
/// release time (its sending, its alloc) and a deadline; gap positions are the unit slots. Earliest deadline first
/// finds a schedule exactly when one exists, so what it cannot place is violated in every permitted order.
/// </remarks>
internal static class GapFilling
{
    private sealed class Job(
        long after, long before, DeviceStream.PossibleFree? possible, DeviceStream.UnansweredOperation? operation)
    {
        public DeviceStream.UnansweredOperation? Operation => operation;

        public long After => after;

        public long Before => before;

        public DeviceStream.PossibleFree? Possible => possible;
    }

    /// <param name="used">Operations that may not be used again in a later incarnation.</param>
    /// <param name="lost">Positions that nothing explains: records are missing, and any operation may have stood
    /// there.</param>
    /// <param name="unexplained">Frees that no permitted order has room for.</param>
    public static void Decide(
        IReadOnlyList<ObjectStream.Gap> gaps,
        IReadOnlyList<DeviceStream.UnansweredOperation> unanswered,
        IReadOnlyList<DeviceStream.PossibleFree> possible,
        bool complete,
        ICollection<DeviceStream.UnansweredOperation> used,
        out long lost,
        out IReadOnlySet<DeviceStream.PossibleFree> unexplained)
    {
        var frees = unanswered.Where(u => u.Operation.Kind is OperationKind.Free).ToLookup(u => u.Operation.Alloc);
        // Of several demands on one allocation the earliest implies the others; where it fails, the next has to be
        // asked too.
        var demands = possible.GroupBy(p => p.Allocation.Id)
            .ToDictionary(g => g.Key, g => new Queue<DeviceStream.PossibleFree>(g.OrderBy(p => p.Before)));
        var failed = new HashSet<DeviceStream.PossibleFree>();
        lost = 0;
        for (var round = 0; ; round++)
        {
            var wanted = demands.Values.Where(d => d.Count > 0).Select(d => d.Peek()).ToList();
            used.Clear();
            var impossible = Impossible(gaps, unanswered, wanted, frees, complete, used, out var empty);
            lost = round == 0 ? empty : lost;
            if (impossible.Count == 0)
            {
                break;
            }

            failed.UnionWith(impossible);
            foreach (var demand in impossible)
            {
                demands[demand.Allocation.Id].Dequeue();
            }
        }

        unexplained = failed;
    }

    /// <summary>Returns the demands that cannot be met together, at most one for each allocation.</summary>
    private static HashSet<DeviceStream.PossibleFree> Impossible(
        IReadOnlyList<ObjectStream.Gap> gaps,
        IReadOnlyList<DeviceStream.UnansweredOperation> unanswered,
        List<DeviceStream.PossibleFree> wanted,
        ILookup<AllocId, DeviceStream.UnansweredOperation> frees,
        bool complete,
        ICollection<DeviceStream.UnansweredOperation> used,
        out long empty)
    {
        // First with only the operations known to be unanswered; each may also have taken a later position, or none.
        var jobs = new List<Job>();
        var impossible = new HashSet<DeviceStream.PossibleFree>();
        foreach (var want in wanted)
        {
            if (frees[want.Allocation.Id].FirstOrDefault() is { } free)
            {
                jobs.Add(new(Math.Max(free.After, want.Allocation.Seq), want.Before, want, free));
            }
            else
            {
                impossible.Add(want);
            }
        }

        var wantedIds = wanted.Select(w => w.Allocation.Id).ToHashSet();
        jobs.AddRange(unanswered
            .Where(u => u.Operation.Kind is not OperationKind.Free || !wantedIds.Contains(u.Operation.Alloc))
            .Select(u => new Job(u.After, Indifferent(u), null, u)));
        empty = Fill(gaps, jobs, mustFill: true, used, out var missed);
        if (empty == 0 && complete)
        {
            impossible.UnionWith(missed);
            return impossible;
        }

        // Records are missing: a lost free may stand in any gap.
        jobs =
        [
            .. wanted.Select(w => new Job(
                Math.Max(frees[w.Allocation.Id].FirstOrDefault()?.After ?? 0, w.Allocation.Seq), w.Before, w, null)),
        ];
        Fill(gaps, jobs, mustFill: false, [], out missed);
        return missed;
    }

    /// <summary>
    /// No deadline; but a free is of use in its own incarnation only, so it fills gaps before an alloc does.
    /// </summary>
    private static long Indifferent(DeviceStream.UnansweredOperation unanswered) =>
        unanswered.Operation.Kind is OperationKind.Free ? long.MaxValue - 1 : long.MaxValue;

    /// <summary>Places jobs earliest deadline first; returns the positions left empty.</summary>
    private static long Fill(
        IReadOnlyList<ObjectStream.Gap> gaps,
        List<Job> jobs,
        bool mustFill,
        ICollection<DeviceStream.UnansweredOperation> used,
        out HashSet<DeviceStream.PossibleFree> missed)
    {
        missed = [];
        var empty = 0L;
        var byRelease = jobs.OrderBy(j => j.After).ToList();
        var ready = new PriorityQueue<Job, long>();
        var next = 0;
        foreach (var gap in gaps)
        {
            while (next < byRelease.Count && byRelease[next].After < gap.First)
            {
                ready.Enqueue(byRelease[next], byRelease[next].Before);
                next++;
            }

            var left = gap.Count;
            while (left > 0 && ready.TryDequeue(out var job, out var before))
            {
                // A gap lies between two records, so it is wholly before a deadline or wholly after it.
                if (before > gap.Last)
                {
                    left--;
                    if (job.Operation is { } operation)
                    {
                        used.Add(operation);
                    }

                    continue;
                }

                missed.Add(job.Possible!);
                if (mustFill)
                {
                    // Too late to help, but it may still have taken a position that nothing else explains.
                    ready.Enqueue(new(job.After, long.MaxValue - 1, null, job.Operation), long.MaxValue - 1);
                }
            }

            empty += left;
        }

        while (ready.TryDequeue(out var job, out _))
        {
            if (job.Possible is { } possible)
            {
                missed.Add(possible);
            }
        }

        for (; next < byRelease.Count; next++)
        {
            if (byRelease[next].Possible is { } possible)
            {
                missed.Add(possible);
            }
        }

        return empty;
    }
}
