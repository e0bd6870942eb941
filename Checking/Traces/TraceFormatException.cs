namespace Fleet.Checking.Traces;

/// <summary>A kernel trace holds something that cannot be read; there is no verdict (exit 64).</summary>
/// <param name="line">Number of the line, from 1; 0 when the file as a whole is of the wrong kind.</param>
/// <param name="reason">What is wrong and what would be accepted, without a full stop.</param>
public sealed class TraceFormatException(long line, string reason)
    : Exception(line > 0 ? $"line {line}: {reason}." : $"{reason}.")
{
    public long Line { get; } = line;

    public string Reason { get; } = reason;
}
