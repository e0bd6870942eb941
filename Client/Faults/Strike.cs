using Fleet.Client.Load;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Faults;

/// <summary>One entry of a fault tape.</summary>
/// <param name="Fault">Place of its fault in the scenario, from 0.</param>
/// <param name="Due">Since the load began.</param>
/// <param name="Choice">From 0 up to 1: whom it strikes, among those that can be struck when it is due.</param>
internal readonly record struct Strike(int Fault, TimeSpan Due, double Choice)
{
    /// <summary>One of as many as there are; the same entry chooses the same place wherever it is played.</summary>
    public int Among(int count) => Math.Min((int)(Choice * count), count - 1);
}

/// <summary>What strikes when, drawn from the run's seed alone.</summary>
internal static class FaultTape
{
    /// <summary>Returns the entries in the order in which they are due; endless where a fault comes again and
    /// again.</summary>
    /// <remarks>Each fault draws from a stream of its own: one more fault in a plan moves no other.</remarks>
    public static IEnumerable<Strike> Of(IReadOnlyList<Fault> faults, ulong seed)
    {
        var queue = new PriorityQueue<RandomStream, (TimeSpan Due, int Fault)>();
        foreach (var (place, fault) in faults.Index())
        {
            var random = new RandomStream(seed, "faults", place);
            if (Next(fault, random, TimeSpan.Zero) is { } due)
                queue.Enqueue(random, (due, place));
        }

        while (queue.TryDequeue(out var random, out var at))
        {
            yield return new(at.Fault, at.Due, random.NextShare());
            if (faults[at.Fault].When is FaultSchedule.Interval && Next(faults[at.Fault], random, at.Due) is { } again)
                queue.Enqueue(random, (again, at.Fault));
        }
    }

    /// <summary>Whether a fault strikes at times, and not at a share of what happens.</summary>
    public static bool IsTimed(Fault fault) => fault.When is FaultSchedule.At or FaultSchedule.Interval;

    private static TimeSpan? Next(Fault fault, RandomStream random, TimeSpan last) => fault.When switch
    {
        FaultSchedule.At at => at.After,
        FaultSchedule.Interval interval => last + (interval.Mean * -Math.Log(1 - random.NextShare())),
        _ => null,
    };
}
