using System.Text.Json;
using System.Text.Json.Serialization;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;
using HdrHistogram;

namespace Fleet.Client.Runs;

/// <summary>What a run came to, as it is printed, stored with the run, and given to scripts.</summary>
public sealed record RunSummary
{
    /// <summary>The form that is stored with the run.</summary>
    internal static JsonSerializerOptions Json { get; } = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower) },
    };

    public required string Run { get; init; }

    public required string Scenario { get; init; }

    public required string Profile { get; init; }

    public required ulong Seed { get; init; }

    public required RunVerdict Verdict { get; init; }

    public required int ExitCode { get; init; }

    /// <summary>What the scenario expects of this profile; null where it says nothing.</summary>
    public required string? Expected { get; init; }

    public required bool? AsExpected { get; init; }

    /// <summary>Why the verdict is what it is, one sentence each.</summary>
    public required IReadOnlyList<string> Reasons { get; init; }

    public required int Hosts { get; init; }

    public required int Devices { get; init; }

    public required int Resources { get; init; }

    public required int Clients { get; init; }

    public required OperationSummary[] Operations { get; init; }

    public required long OperationsTotal { get; init; }

    public required double OperationsPerSecond { get; init; }

    public required long Unbinds { get; init; }

    public required long UnbindsWithHolders { get; init; }

    public required long EventsStored { get; init; }

    /// <summary>The same records counted where they were answered, where they were kept, and where they are.</summary>
    public required RunCounts Counts { get; init; }

    /// <summary>Silos in processes of their own; 0 where the fleet lived in the client's.</summary>
    public int Silos { get; init; }

    /// <summary>Allocations that a session still held when it was closed.</summary>
    public required long Reaped { get; init; }

    public required StuckSummary[] Stuck { get; init; }

    public required IReadOnlyDictionary<string, long> Probes { get; init; }

    public required LatencySummary[] Latency { get; init; }

    public required ThresholdSummary[] Thresholds { get; init; }

    /// <summary>Share of the operations that were due and were sent; null in a closed loop.</summary>
    public required double? Achieved { get; init; }

    /// <summary>Operations that were due, and those of them that were sent; both 0 in a closed loop.</summary>
    public long Due { get; init; }

    public long Sent { get; init; }

    /// <summary>What was due and sent in each phase before the drain; none in a closed loop.</summary>
    public PhaseCount[] Phases { get; init; } = [];

    /// <summary>How often the run had been cut off and was gone on with.</summary>
    public int Resumed { get; init; }

    /// <summary>Answers that say no, by kind of operation and errno.</summary>
    public IReadOnlyDictionary<string, IReadOnlyDictionary<string, long>> Errors { get; init; } =
        new Dictionary<string, IReadOnlyDictionary<string, long>>();

    /// <summary>What memory, handles, threads, activations and the database did over the run.</summary>
    public GaugeSummary[] Gauges { get; init; } = [];

    public required double TimerLagMaxMs { get; init; }

    /// <summary>Why operations were sent late, of this generator; null in a closed loop.</summary>
    public Punctuality? Punctuality { get; init; }

    /// <summary>Calls that failed other than by a deadline, by type.</summary>
    public required IReadOnlyDictionary<string, long> Failures { get; init; }

    public required IReadOnlyDictionary<string, long> BindErrors { get; init; }

    public required FindingSummary[] Findings { get; init; }

    public required IReadOnlyDictionary<string, double> Seconds { get; init; }

    /// <summary>What struck, and how soon the fleet was back.</summary>
    public FaultSummary Faults { get; init; } = FaultSummary.None;

    public required bool Interrupted { get; init; }

    /// <summary>Where the results are; empty in the copy that the results themselves hold.</summary>
    public string Location { get; init; } = "";

    [JsonIgnore]
    public Fleet.Checking.CheckReport? Report { get; init; }
}

/// <summary>What was recorded, counted at each place that it went through.</summary>
/// <param name="OperationsAcknowledged">Operations whose clients went on, whatever their outcome.</param>
/// <param name="OperationsSpooled">Records that clients appended to their spool.</param>
/// <param name="OperationsStored">Rows, counted in the store.</param>
/// <param name="EventsAcknowledged">Events that grains were told are durable.</param>
/// <param name="EventsStored">Rows, counted in the store.</param>
public sealed record RunCounts(
    long OperationsAcknowledged, long OperationsSpooled, long OperationsStored, long EventsAcknowledged,
    long EventsStored)
{
    /// <summary>Nothing acknowledged is lost, and nothing is there twice.</summary>
    public bool AreEqual => OperationsAcknowledged == OperationsSpooled && OperationsSpooled == OperationsStored
        && EventsAcknowledged == EventsStored;
}

public sealed record OperationSummary(string Kind, long Ok, long Fail, long Unknown);

/// <summary>Milliseconds.</summary>
public sealed record LatencySummary(
    string Metric, string Of, long Count, double P50Ms, double P90Ms, double P99Ms, double P999Ms, double MaxMs)
{
    public static LatencySummary From(string metric, string of, HistogramBase histogram) => new(
        metric,
        of,
        histogram.TotalCount,
        histogram.GetValueAtPercentile(50) / 1000.0,
        histogram.GetValueAtPercentile(90) / 1000.0,
        histogram.GetValueAtPercentile(99) / 1000.0,
        histogram.GetValueAtPercentile(99.9) / 1000.0,
        histogram.GetMaxValue() / 1000.0);
}

/// <param name="Value">In the metric's own unit; null where nothing was measured.</param>
/// <param name="Figure">The value as a person reads it.</param>
/// <param name="Limit">What it had to be, as a person reads it.</param>
public sealed record ThresholdSummary(
    string Metric, string? Of, double? Value, double? Below, double? Above, ThresholdState State, string Figure,
    string Limit)
{
    public bool Missed => State is ThresholdState.Missed;

    public static ThresholdSummary From(ThresholdResult result)
    {
        var (threshold, metric) = (result.Threshold, ThresholdMetric.Find(result.Threshold.Metric)!);
        return new(
            threshold.Metric, threshold.Of, result.Value, threshold.Below, threshold.Above, result.State,
            result.Value is { } value ? metric.Show(value) : "-",
            threshold.Below is { } below
                ? $"below {metric.Show(below)}" : $"above {metric.Show(threshold.Above!.Value)}");
    }

    [JsonIgnore]
    public string Name => Of is null ? Metric : $"{Metric} of {Of}";

    [JsonIgnore]
    public string Sentence => State switch
    {
        ThresholdState.Missed => $"Threshold missed: {Name} is {Figure}; it has to be {Limit}.",
        ThresholdState.NoData => $"Threshold undecided: {Name} has to be {Limit}, and nothing of it was measured.",
        ThresholdState.TooEarly => $"Threshold not looked at: the load ended before {Name} was to be.",
        _ => $"Threshold met: {Name} is {Figure}, {Limit}.",
    };
}

public sealed record StuckSummary(string Device, string Kind, double SinceSeconds, string WaitsFor);

public sealed record FindingSummary(
    int Id, string Rule, string Class, string Object, long Count, string Text, string? Remedy);
