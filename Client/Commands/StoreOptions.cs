using System.CommandLine;
using Fleet.Client.Runs;
using Fleet.Storage.Results;

namespace Fleet.Client.Commands;

/// <summary>The options of every command that reads or writes stored runs.</summary>
internal sealed class StoreOptions
{
    public Option<string?> Results { get; } = new("--results")
    {
        Description = "Directory of result files (default ./fleet-results).",
        HelpName = "DIR",
    };

    public Option<string?> Store { get; } = new("--store")
    {
        Description =
            "A PostgreSQL store, postgres://USER@HOST:PORT/DATABASE or private (see fleet db), instead of files.",
        HelpName = "URL",
    };

    public Option<bool> Json { get; } = CommonOptions.Json();

    /// <summary>The run that a command reads.</summary>
    public static Argument<string> Run() => new("RUN")
    {
        Description = "Name of a run, the beginning of it, its file, or 'last'.",
    };

    /// <summary>The run that a command reads, the newest where none is named.</summary>
    public static Argument<string> RunOrLast()
    {
        var run = Run();
        run.DefaultValueFactory = _ => RunStore.Last;
        return run;
    }

    /// <summary>Reads the run that is named.</summary>
    /// <exception cref="UsageException">No run is meant, or several.</exception>
    public async Task<int> ReadAsync(
        ParseResult parsed, Argument<string> run, Func<IRunReader, Task<int>> read, CancellationToken ct)
    {
        var (opened, reader) = await RunStore.OpenRunAsync(
            parsed.GetRequiredValue(run), parsed.GetValue(Store), parsed.GetValue(Results), ct);
        await using var _ = opened;
        await using var __ = reader;
        return await read(reader);
    }

    public void AddTo(Command command)
    {
        command.Add(Results);
        command.Add(Store);
        command.Add(Json);
    }
}
