namespace Fleet.Client.Runs;

/// <summary>How long a run waits for others.</summary>
internal static class Patience
{
    /// <summary>Between two looks at what may have changed.</summary>
    public static readonly TimeSpan Look = TimeSpan.FromMilliseconds(500);

    /// <summary>How long the fleet may be without an answer outside the load.</summary>
    public static readonly TimeSpan Answer = TimeSpan.FromMinutes(3);

    /// <summary>A call that is answered when something happened is answered after so long all the same.</summary>
    public static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(1);
}
