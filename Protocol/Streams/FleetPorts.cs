using Fleet.Kernel.History;
using Fleet.Protocol.Incarnations;

namespace Fleet.Protocol.Streams;

/// <summary>Where lifecycle events become durable.</summary>
public interface ILifecycleLog
{
    /// <summary>Makes a group of events durable, all of them or none; they are when the task completes.</summary>
    /// <param name="events">Must not be kept: the caller uses the list again.</param>
    ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events);
}

/// <summary>The clock that events are stamped with.</summary>
public interface IEventClock
{
    /// <summary>Nanoseconds since an arbitrary instant; never goes back.</summary>
    long NowNs { get; }
}

/// <summary>What all agents of one process share.</summary>
/// <param name="Objects">Names of the run; ids in events are from this table.</param>
/// <param name="Streams">Who observes the objects online; null for nobody.</param>
/// <param name="Log">Where events become durable.</param>
/// <param name="Process">Name of the process, as incarnations carry it.</param>
/// <param name="ProcessId">Its number in the run, from 1.</param>
public sealed record FleetContext(
    ObjectTable Objects, IObjectStreams? Streams, ILifecycleLog Log, IIncarnations Incarnations, IEventClock Clock,
    string Process, int ProcessId);
