using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary>Where a command writes: results to standard output, progress and errors to standard error.</summary>
/// <remarks>
/// With <c>--json</c> the only thing on standard output is one object. Everything given to Spectre is either escaped
/// here or built
/// from escaped parts, so no text from outside is read as markup.
/// </remarks>
public sealed class Terminal
{
    /// <summary>Columns of a table that goes to a file or a pipe: wide enough that no row is folded.</summary>
    private const int RedirectedWidth = 200;

    private static readonly JsonSerializerOptions JsonOptions = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower) },
    };

    /// <summary>Made when they are needed: looking at the terminal is a part of every start otherwise, of
    /// <c>--help</c> too.</summary>
    private readonly Lazy<IAnsiConsole> _screen;
    private readonly Lazy<IAnsiConsole> _progress;

    public Terminal(TextWriter output, TextWriter error, bool isInteractive)
    {
        Output = output;
        Error = error;
        IsInteractive = isInteractive;
        _screen = new(() => ScreenOn(output, isInteractive));
        _progress = new(() => ScreenOn(error, isInteractive));
    }

    public TextWriter Output { get; }

    public TextWriter Error { get; }

    /// <summary>A person watches: progress may redraw itself.</summary>
    public bool IsInteractive { get; }

    /// <summary>Tables and text for standard output.</summary>
    public IAnsiConsole Screen => _screen.Value;

    /// <summary>Live progress, on standard error.</summary>
    public IAnsiConsole Progress => _progress.Value;

    public static Terminal OfProcess() =>
        new(Console.Out, Console.Error, !Console.IsErrorRedirected && !Console.IsOutputRedirected);

    public static string Safe(string text) => Markup.Escape(ForeignText.Clean(text, 4096));

    /// <summary>Writes one line of plain text.</summary>
    public void Say(string line) => Output.WriteLine(line);

    public void SayProgress(string line) => Error.WriteLine(line);

    public void WriteJson<T>(T value) => Output.WriteLine(JsonSerializer.Serialize(value, JsonOptions));

    private static IAnsiConsole ScreenOn(TextWriter writer, bool isInteractive)
    {
        var screen = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = isInteractive ? AnsiSupport.Detect : AnsiSupport.No,
            Interactive = isInteractive ? InteractionSupport.Detect : InteractionSupport.No,
            Out = new AnsiConsoleOutput(writer),
        });
        if (!isInteractive)
            screen.Profile.Width = RedirectedWidth;
        return screen;
    }
}
