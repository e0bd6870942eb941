using Fleet.Silo.Options;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace Fleet.Silo.Service;

/// <summary>The one way in which a silo process says things: on standard error, as text or as JSON.</summary>
internal sealed class SiloLog : IDisposable
{
    private const string Category = "Fleet.Silo";

    private readonly LogForm _form;
    private readonly ILogger _logger;

    public SiloLog(LogForm form, LogLevel level)
    {
        _form = form;
        Gate = new SiloLogGate { Least = level };
        Factory = LoggerFactory.Create(logging => Configure(logging, form, Gate));
        _logger = Factory.CreateLogger(Category);
    }

    public SiloLogGate Gate { get; }

    public ILoggerFactory Factory { get; }

    /// <summary>Takes each connection that was refused.</summary>
    public ILogger Tls => Factory.CreateLogger("Fleet.Silo.Tls");

    /// <summary>Says what an operator waits for, whatever the level.</summary>
    public void Say(string sentence)
    {
        if (_form is LogForm.Json)
        {
            _logger.LogInformation("{Sentence}", sentence);
        }
        else
        {
            Console.Error.WriteLine(sentence);
        }
    }

    public void Warn(string sentence) => _logger.LogWarning("{Sentence}", sentence);

    /// <summary>Nothing on standard output, which may be promised to carry one JSON object.</summary>
    public static void Configure(ILoggingBuilder logging, LogForm form, SiloLogGate gate)
    {
        _ = form is LogForm.Json
            ? logging.AddJsonConsole(console =>
            {
                console.UseUtcTimestamp = true;
                console.TimestampFormat = "O";
            })
            : logging.AddSimpleConsole(console => console.SingleLine = true);
        logging.SetMinimumLevel(LogLevel.Trace);
        logging.AddFilter((category, level) => gate.Lets(category, level));
        logging.Services.Configure<ConsoleLoggerOptions>(
            console => console.LogToStandardErrorThreshold = LogLevel.Trace);
    }

    public void Dispose() => Factory.Dispose();
}
