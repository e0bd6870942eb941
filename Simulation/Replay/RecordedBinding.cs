using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>One allocation of a run and everything that its client did with it, in the client's order.</summary>
/// <param name="Client">Id of the client.</param>
/// <param name="IsNamed">The finding is about it.</param>
/// <param name="IsBefore">It was made before the unbind began.</param>
/// <param name="Resource">Number of the resource that it came from, counted from the oldest; -1 if none.</param>
/// <param name="Distance">Events of the device between it and what the finding names.</param>
internal sealed record RecordedChain(
    int Client, bool IsNamed, bool IsBefore, int Resource, long Distance, IReadOnlyList<Operation> Operations);

/// <summary>What a run recorded of one binding of a device: its resources, failures and clients.</summary>
/// <param name="Driver">As <c>bind_begin</c> names it.</param>
/// <param name="Resources">Resources that became part of the pool.</param>
/// <param name="Chains">What the finding names first, then what was nearest to it.</param>
internal sealed record RecordedBinding(
    string Driver, int Resources, bool IsFenced, IReadOnlyList<(FailPoint Point, int Hit)> Failures,
    IReadOnlyList<RecordedChain> Chains)
{
    /// <returns>Null where nothing of it was recorded.</returns>
    internal static RecordedBinding? Of(ExplainedRecords records, ObjectTable objects)
    {
        var device = objects.DeviceOf(objects.Intern(records.Finding.Object));
        var lives = records.Proof.Where(one => !one.At.IsNone).Select(one => (one.At.Gen, one.At.Life)).Distinct()
            .Order().ToList();
        if (device == 0 || lives.Count == 0)
        {
            return null;
        }

        var life = lives[0];
        var events = records.Kept.Where(one => one.Event is not null && one.At.Obj == device
                && (one.At.Gen, one.At.Life) == life)
            .Select(one => one.Event!).OrderBy(one => one.At.Seq).ToList();
        var begin = events.Find(one => one.Kind is EventKind.BindBegin);
        if (begin is null)
        {
            return null;
        }

        var unbind = events.Find(one => one.Kind is EventKind.UnbindBegin or EventKind.ReleaseAllBegin)?.At.Seq
            ?? long.MaxValue;
        var chunks = events.Where(one => one.Kind is EventKind.ChunkAdd).ToList();
        return new(
            begin.Text ?? "",
            Math.Clamp(events.Count(one => one.Kind is EventKind.AddResourceBegin), 1, WorldScript.ResourcesMax),
            unbind == long.MaxValue && events.Exists(one => one.Kind is EventKind.Fenced),
            FailuresOf(events),
            ChainsOf(records, device, life, unbind, chunks));
    }

    private static List<(FailPoint Point, int Hit)> FailuresOf(List<HistoryEvent> events)
    {
        var failures = new List<(FailPoint, int)>();
        var resources = 0;
        foreach (var one in events)
        {
            resources += one.Kind is EventKind.AddResourceBegin ? 1 : 0;
            if (one.Kind is EventKind.Inject && FailPoints.TryParse(one.Fn ?? "", out var point))
            {
                // A step of a resource comes once for each; the others come once for a binding.
                var isOfResource = point is >= FailPoint.AddResourcePgmapAlloc and <= FailPoint.MemremapDevresNode;
                failures.Add((point, isOfResource ? Math.Max(1, resources) : 1));
            }
        }

        return [.. failures.Distinct()];
    }

    private static List<RecordedChain> ChainsOf(
        ExplainedRecords records, int device, (int Gen, int Life) life, long unbind, List<HistoryEvent> chunks)
    {
        var named = records.Proof.Where(one => one.Event is null).Select(one => one.Operation.Number).ToHashSet();
        var allocations = records.Proof.Select(one => one.Event?.Alloc ?? one.Operation.Alloc)
            .Where(one => !one.IsNone).ToHashSet();
        var places = records.Proof.Where(one => one.At.Obj == device).Select(one => one.At.Seq).ToList();
        var place = places.Count > 0 ? places.Max() : unbind;
        var operations = records.Kept.Where(one => one.Event is null).Select(one => one.Operation)
            .OrderBy(one => one.SentNs).ToList();
        var later = operations.Where(one => one.Kind is not OperationKind.Alloc && !one.Alloc.IsNone)
            .ToLookup(one => one.Alloc);
        var freedAt = later.ToDictionary(
            one => one.Key,
            one => one.Where(op => op.Kind is OperationKind.Free && op.At.Obj == device)
                .Select(op => op.At.Seq).DefaultIfEmpty(long.MaxValue).Min());
        var chains = new List<RecordedChain>();
        foreach (var alloc in operations)
        {
            var isOfLife = alloc.At.Obj == device && (alloc.At.Gen, alloc.At.Life) == life;
            if (alloc.Kind is not OperationKind.Alloc || !isOfLife)
            {
                continue;
            }

            var isNamed = named.Contains(alloc.Number) || allocations.Contains(alloc.Alloc);
            var isBefore = alloc.At.Seq < unbind;
            var isHeld = !alloc.Alloc.IsNone && freedAt.GetValueOrDefault(alloc.Alloc, long.MaxValue) > unbind;
            if (!isNamed && isBefore && !isHeld)
            {
                continue;
            }

            var resource = alloc.Address == 0 ? -1 : chunks.FindIndex(chunk =>
                alloc.Address >= chunk.Start && alloc.Address - chunk.Start < chunk.SizeBytes);
            chains.Add(new(
                alloc.Client, isNamed, isBefore, resource, Math.Abs(alloc.At.Seq - place),
                [alloc, .. alloc.Alloc.IsNone ? [] : later[alloc.Alloc]]));
        }

        return [.. chains.OrderByDescending(one => one.IsNamed).ThenBy(one => one.Distance)];
    }
}
