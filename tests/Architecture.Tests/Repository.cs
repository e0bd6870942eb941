using System.Xml.Linq;
using Fleet.Tests;

namespace Fleet.Architecture.Tests;

/// <summary>The checkout that these tests were built from.</summary>
internal static class Repository
{
    public static string Root => RepositoryFolder.Root;

    /// <summary>Source and text files that are kept, build output left out.</summary>
    public static IEnumerable<string> Files(params string[] extensions) =>
        Directory.EnumerateFiles(Root, "*", SearchOption.AllDirectories)
            .Where(path => extensions.Contains(Path.GetExtension(path)))
            .Where(path => !Path.GetRelativePath(Root, path).Split('/')
                .Any(part => part is "bin" or "obj" or ".git" or "fleet-results" or "TestResults"));

    public static IEnumerable<(string Name, XDocument Document)> Projects() =>
        Files(".csproj").Select(path => (Path.GetFileNameWithoutExtension(path), XDocument.Load(path)));
}
