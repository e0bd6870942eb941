namespace Fleet.Client.Scenarios;

/// <summary>Words of a fault's <c>expect</c> that decide how a run ends; others only say what a reader should look
/// for.</summary>
public static class FaultEffects
{
    /// <summary>Calls end without an answer, or are refused on their way.</summary>
    public const string UnknownOutcomes = "unknown-outcomes";

    /// <summary>Silos end, and devices begin further incarnations.</summary>
    public const string Failover = "failover";

    /// <summary>Two incarnations may be seen to serve at once.</summary>
    public const string Infrastructure = "infrastructure";
}
