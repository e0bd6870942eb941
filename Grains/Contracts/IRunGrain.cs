using Orleans.Concurrency;

namespace Fleet.Grains;

/// <summary>One run as its generators share it; key = name of the run.</summary>
/// <remarks>
/// It holds seats, a common start, orders and the generators' last words; no operation goes through it. That is kept in
/// grain storage and outlives its silo; what generators tell twice a second is not.
/// </remarks>
[Alias("fleet.IRunGrain")]
public interface IRunGrain : IGrainWithStringKey
{
    /// <summary>Opens the run's seats; the first generator takes seat 1.</summary>
    /// <param name="plan">What a generator needs to make its share, one JSON object.</param>
    [Alias("Open")]
    ValueTask Open(string plan, int generators, string process);

    /// <summary>Takes the next free seat; where there is none, the place of a generator that was lost.</summary>
    /// <param name="left">Seats whose spools are at hand: only who has what a lost generator left may follow
    /// it.</param>
    /// <returns>Number 0 where the run is not open, or every seat is taken.</returns>
    [Alias("Join")]
    ValueTask<RunSeat> Join(string process, [Immutable] int[] left);

    /// <summary>Says that a generator could begin, and waits for the others; a long poll.</summary>
    /// <returns>True once all of them could: all begin now.</returns>
    [Alias("Ready"), AlwaysInterleave]
    ValueTask<bool> Ready(int number);

    /// <summary>Says that a generator lives and what it has done, and asks what it is to do.</summary>
    [Alias("Tell"), AlwaysInterleave]
    ValueTask<RunOrder> Tell(GeneratorMoment moment);

    /// <summary>A generator's last words: everything that it sent is stored.</summary>
    [Alias("Finish")]
    ValueTask Finish(GeneratorReport report);

    /// <summary>Reports of the generators that finished.</summary>
    [Alias("Reports")]
    ValueTask<GeneratorReport[]> Reports();

    /// <summary>Gives an order to every generator; null leaves what it is.</summary>
    /// <param name="clientsMax">Clients that send, over all generators.</param>
    /// <param name="speed">Of an open load: how fast its schedule goes, 1 for as it is.</param>
    [Alias("Order")]
    ValueTask<RunStatus> Order(bool? isPaused, bool? isStopped, int? clientsMax, double? speed);

    [Alias("Status"), AlwaysInterleave]
    ValueTask<RunStatus> Status();
}

/// <summary>A place in a run.</summary>
/// <param name="Number">From 1; 0 for none. Above the number of generators for one that follows another.</param>
/// <param name="Generators">How many share the run.</param>
/// <param name="Place">Share of the clients that it takes, from 1.</param>
/// <param name="Follows">Seats that held the place before, the oldest first.</param>
[GenerateSerializer, Immutable, Alias("fleet.RunSeat")]
public sealed record RunSeat(
    [property: Id(0)] int Number, [property: Id(1)] int Generators, [property: Id(2)] string Plan,
    [property: Id(3)] int Place, [property: Id(4)] int[] Follows);

/// <param name="ClientsMax">Clients that send, over all generators; 0 for as many as the scenario says.</param>
/// <param name="Speed">Of an open load: how fast its schedule goes; 0 for as it is.</param>
[GenerateSerializer, Immutable, Alias("fleet.RunOrder")]
public readonly record struct RunOrder(
    [property: Id(0)] bool IsPaused, [property: Id(1)] bool IsStopped, [property: Id(2)] int ClientsMax,
    [property: Id(3)] double Speed);

/// <summary>What a generator has done so far.</summary>
[GenerateSerializer, Immutable, Alias("fleet.GeneratorMoment")]
public sealed record GeneratorMoment(
    [property: Id(0)] int Number,
    [property: Id(1)] string Phase,
    [property: Id(2)] long Operations,
    [property: Id(3)] double PerSecond,
    [property: Id(4)] long Unknown);

/// <summary>What a generator sent, once all of it is stored.</summary>
/// <param name="Counts">By kind and outcome.</param>
/// <param name="Latency">Histograms by metric and operation, as values with their counts.</param>
/// <param name="Spooled">Records that its clients appended.</param>
/// <param name="Stored">Rows of its process in the store.</param>
[GenerateSerializer, Immutable, Alias("fleet.GeneratorReport")]
public sealed record GeneratorReport(
    [property: Id(0)] int Number,
    [property: Id(1)] OutcomeCount[] Counts,
    [property: Id(2)] LatencyCounts[] Latency,
    [property: Id(3)] long Due,
    [property: Id(4)] long Sent,
    [property: Id(5)] long Spooled,
    [property: Id(6)] long Stored,
    [property: Id(7)] bool IsDrained,
    [property: Id(8)] string[] Failures,
    [property: Id(9)] PhaseReport[] Phases);

/// <param name="Due">Operations of the schedule in the phase.</param>
/// <param name="Sent">Those of them that were sent.</param>
[GenerateSerializer, Immutable, Alias("fleet.PhaseReport")]
public readonly record struct PhaseReport(
    [property: Id(0)] string Phase,
    [property: Id(1)] long Due,
    [property: Id(2)] long Sent);

[GenerateSerializer, Immutable, Alias("fleet.OutcomeCount")]
public readonly record struct OutcomeCount(
    [property: Id(0)] byte Kind,
    [property: Id(1)] byte Outcome,
    [property: Id(2)] short Err,
    [property: Id(3)] long Count);

/// <param name="Values">Microseconds.</param>
[GenerateSerializer, Immutable, Alias("fleet.LatencyCounts")]
public sealed record LatencyCounts(
    [property: Id(0)] string Metric,
    [property: Id(1)] string Of,
    [property: Id(2)] long[] Values,
    [property: Id(3)] long[] Counts);

/// <summary>One generator as the run knows it.</summary>
/// <param name="State"><c>joined</c>, <c>ready</c>, <c>running</c>, <c>finished</c>, <c>lost</c> after a silence, or
/// <c>followed</c> by another.</param>
/// <param name="SilentSeconds">Since it was heard last.</param>
/// <param name="Place">Share of the clients that it has or had, from 1.</param>
[GenerateSerializer, Immutable, Alias("fleet.GeneratorStatus")]
public sealed record GeneratorStatus(
    [property: Id(0)] int Number,
    [property: Id(1)] string Process,
    [property: Id(2)] string State,
    [property: Id(3)] string Phase,
    [property: Id(4)] long Operations,
    [property: Id(5)] double PerSecond,
    [property: Id(6)] double SilentSeconds,
    [property: Id(7)] int Place);

/// <param name="State"><c>unknown</c>, <c>gathering</c>, <c>running</c>, <c>paused</c>, <c>stopping</c> or
/// <c>over</c>.</param>
[GenerateSerializer, Immutable, Alias("fleet.RunStatus")]
public sealed record RunStatus(
    [property: Id(0)] string State,
    [property: Id(1)] int Seats,
    [property: Id(2)] int ClientsMax,
    [property: Id(3)] GeneratorStatus[] Generators,
    [property: Id(4)] double Speed);
