using System.Net;
using Fleet.Kernel.History;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;

namespace Fleet.Silo;

/// <summary>What an embedded fleet is started with.</summary>
public sealed record EmbeddedFleetOptions
{
    /// <summary>Run id; it names the cluster.</summary>
    public required string Run { get; init; }

    /// <summary>The names of the run: one table, shared with the checker and the generators of the process.</summary>
    public required ObjectTable Objects { get; init; }

    /// <summary>Where lifecycle events become durable.</summary>
    public required ILifecycleLog Log { get; init; }

    /// <summary>Numbers the incarnations of objects; in memory where none outlives the process.</summary>
    public IIncarnations Incarnations { get; init; } = new MemoryIncarnations();

    /// <summary>Observes every object online; null for nobody.</summary>
    public IObjectStreams? Streams { get; init; }

    /// <summary>Number of this process in the run, from 1.</summary>
    public int ProcessId { get; init; } = 1;

    /// <summary>How incarnations name this process.</summary>
    public string Process { get; init; } = "silo-1";

    /// <summary>
    /// How long one call may wait before it answers "not yet"; less than half of <see cref="ResponseTimeout"/>.
    /// </summary>
    public TimeSpan LongPoll { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>When the runtime gives an answer up; the caller's own deadline is shorter.</summary>
    public TimeSpan ResponseTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where the first silo of the run listens for others; null for the first one itself.</summary>
    /// <remarks>Without a database: a silo that is lost takes the run with it. For tests and benchmarks.</remarks>
    public IPEndPoint? FirstSilo { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
