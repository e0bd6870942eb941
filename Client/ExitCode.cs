namespace Fleet.Client;

/// <summary>What a command answers to its caller; where several apply, the first of this list is given.</summary>
/// <remarks>The same for every command, so that a script and a CI job never need to know which one they
/// called.</remarks>
public static class ExitCode
{
    /// <summary>An invariant of Fleet itself broke, or its two checkers disagree: no verdict can be trusted.</summary>
    public const int Harness = 70;

    /// <summary>A bad argument, an unreadable file, a malformed line: there is no verdict.</summary>
    public const int Usage = 64;

    /// <summary>A safety, liveness or leak finding, or a vector that differs.</summary>
    public const int Invalid = 1;

    /// <summary>Interrupted; what was recorded is stored and checked.</summary>
    public const int Interrupted = 130;

    /// <summary>Infrastructure failed in a way that no fault of the plan explains.</summary>
    public const int Infrastructure = 4;

    /// <summary>Not enough evidence: incomplete, vacuous, rate missed, client misuse.</summary>
    public const int Unknown = 2;

    /// <summary>The verdict is valid, a threshold was missed.</summary>
    public const int Threshold = 3;

    public const int Valid = 0;
}
