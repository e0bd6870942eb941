using Microsoft.Extensions.Logging;

namespace Fleet.Silo.Service;

/// <summary>
/// Keeps what is no news out of the log: retries, advice for servers, and the noise of an immediate stop.
/// </summary>
internal sealed class SiloLogGate
{
    private volatile bool _isStopping;

    public LogLevel Least { get; init; } = LogLevel.Warning;

    /// <summary>Of a process that only calls: it has a deadline of its own for each call, and counts what misses
    /// it.</summary>
    public bool IsCaller { get; init; }

    public bool IsStopping
    {
        get => _isStopping;
        set => _isStopping = value;
    }

    public bool Lets(string? category, LogLevel level) => category switch
    {
        // What Fleet itself says of a silo was chosen one by one.
        _ when category?.StartsWith("Fleet.", StringComparison.Ordinal) is true => level >= LogLevel.Information,
        _ when IsStopping => level >= LogLevel.Critical,
        _ when level < Least => false,

        // Each try of each retry: hundreds of lines for one silo that died.
        "Polly" => level >= LogLevel.Error,

        // What does not start is thrown to who started it, and said there in one sentence.
        "Microsoft.Extensions.Hosting.Internal.Host" => level >= LogLevel.Critical,

        // Each connection to a silo that died, with its stack; refusals are told by Fleet itself.
        "Orleans.Runtime.Messaging.ConnectionManager" or "Orleans.Runtime.Messaging.Connection"
            or "Orleans.Runtime.GrainDirectory.GrainDirectoryHandoffManager" =>
            Least < LogLevel.Warning || level >= LogLevel.Error,

        // An answer that did not come in half a minute, long after its caller gave up: a silo took it along. Between
        // silos such a call is broken as soon as a silo is lost, so one that is late there is news.
        "Orleans.Runtime.CallbackData" => !IsCaller || Least < LogLevel.Warning || level >= LogLevel.Error,

        // Each call while no silo is there: whoever calls says once that nobody answers.
        "Orleans.Messaging.GatewayManager" or "Orleans.Messaging.ClientMessageCenter" =>
            !IsCaller || Least < LogLevel.Warning || level >= LogLevel.Error,

        // A timer that came late, by what it is for.
        _ when category?.StartsWith("Orleans.Runtime.AsyncTimer", StringComparison.Ordinal) is true =>
            Least < LogLevel.Warning || level >= LogLevel.Error,

        // A turn that took a second on a busy machine: response times and the timers' lateness say so, with figures.
        "Orleans.Runtime.Scheduler.WorkItemGroup" => Least < LogLevel.Warning || level >= LogLevel.Error,

        // A silo or process that stood still for a while.
        "Orleans.Runtime.Silo" or "Orleans.Runtime.Watchdog" => Least < LogLevel.Warning || level >= LogLevel.Error,

        // A database that is away for a while is tried again; who cares asks the database.
        _ when category?.StartsWith("Orleans.Runtime.MembershipService", StringComparison.Ordinal) is true =>
            Least < LogLevel.Warning || level >= LogLevel.Error,
        _ => true,
    };
}
