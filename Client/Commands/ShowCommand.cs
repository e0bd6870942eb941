using System.CommandLine;
using System.Text.Json;
using Fleet.Client.Runs;

namespace Fleet.Client.Commands;

/// <summary><c>fleet show</c>: what a stored run came to.</summary>
internal static class ShowCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = StoreOptions.RunOrLast();
        var store = new StoreOptions();
        var command = new Command("show", "Shows the summary of a stored run.") { run };
        store.AddTo(command);
        command.SetAction((parsed, ct) => store.ReadAsync(
            parsed,
            run,
            async reader =>
            {
                var summary = SummaryOf(reader.Run.Outcome?.Summary);
                if (parsed.GetValue(store.Json))
                {
                    terminal.WriteJson(new
                    {
                        run = RunsCommand.ToJson(reader.Run),
                        commandLine = reader.Run.Info.CommandLine,
                        summary,
                    });
                    return ExitCode.Valid;
                }

                terminal.Say($"{reader.Run.Info.Run}: {ForeignText.Clean(reader.Run.Info.CommandLine, 1000)}");
                if (summary is null)
                    terminal.Say(
                        $"{reader.Run.Operations} operations, {reader.Run.Events} events, {reader.Run.Findings} "
                        + $"findings; the run stored no summary.");
                else
                    SummaryView.Show(terminal, summary with { Location = reader.Run.Location });
                return ExitCode.Valid;
            },
            ct));
        return command;
    }

    /// <summary>Null for a run that something else made, or another version.</summary>
    internal static RunSummary? SummaryOf(string? json)
    {
        try
        {
            return json is null or "{}" ? null : JsonSerializer.Deserialize<RunSummary>(json, RunSummary.Json);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
