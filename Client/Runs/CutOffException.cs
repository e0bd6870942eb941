namespace Fleet.Client.Runs;

/// <summary>A run or a share of one that cannot be brought to its end here and now; what it recorded is kept.</summary>
/// <remarks>The message is one sentence for a person; the exit code is <see cref="ExitCode.Infrastructure"/>.</remarks>
public sealed class CutOffException(string message, Exception cause) : Exception(message, cause);
