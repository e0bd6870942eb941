namespace Fleet.Client;

/// <summary>Something from outside cannot be used: an argument, a file, a line of one.</summary>
/// <remarks>
/// The message is one sentence for a person: what was wrong, where, and what would be accepted. It goes to standard
/// error as it is,
/// the exit code is <see cref="ExitCode.Usage"/>, and no stack trace is shown.
/// </remarks>
public sealed class UsageException : Exception
{
    public UsageException(string message)
        : base(message)
    {
    }

    public UsageException(string message, Exception cause)
        : base(message, cause)
    {
    }

    /// <summary>Names a line of a text file, as editors and terminals understand it.</summary>
    public static UsageException At(string file, int line, string what, string accepted) =>
        new($"{file}:{line}: {what}; accepted: {accepted}.");

    public static UsageException At(string file, int line, int column, string what, string accepted) =>
        new($"{file}:{line}:{column}: {what}; accepted: {accepted}.");
}
